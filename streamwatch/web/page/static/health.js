import { live } from "./live.js";
import { age, problems, put } from "./states.js";

const ms = (value) => (value === null ? "–" : value);

live.addEventListener("state", ({ detail: state }) => {
  problems(state.problems);
  put(document, "#broker", `${state.broker.address}: ${state.broker.connected ? "connected" : "not connected"}`);
  put(document, "#outbox", String(state.outbox));
  put(document, "#detector", `${ms(state.detector.ms_p50)} ms a picture or batch, ${ms(state.detector.ms_p95)} ms at most (95 %)`);
  put(document, "#latency", `${ms(state.latency_ms.p50)} ms, ${ms(state.latency_ms.p95)} ms at most (95 %)`);
  put(document, "#memory", `${Math.round(state.rss_bytes / 1e6)} MB`);
  put(document, "#uptime", `${(state.uptime_s / 3600).toFixed(1)} h`);
  for (const row of document.querySelectorAll("#cameras tr[data-camera]")) {
    const camera = state.cameras[row.dataset.camera];
    if (!camera) continue;
    put(row, ".status", camera.status);
    row.querySelector(".status").dataset.status = camera.status;
    put(row, ".rate", camera.fps === null || camera.fps === undefined ? "" : `${camera.fps.toFixed(1)} of ${camera.wanted_fps}`);
    put(row, ".age", camera.status === "disabled" ? "" : age(camera.age_s));
    put(row, ".why", camera.problem ?? camera.awake ?? "");
  }
});

// What is said of a camera beside its picture.

export function tell(place, camera, watches) {
  const status = place.querySelector(".status");
  status.textContent = camera.status;
  status.dataset.status = camera.status;
  const here = camera.status === "online";
  place.querySelector("camera-view")?.stale?.(here ? "" : { offline: "Offline", disabled: "Disabled", removed: "Removed" }[camera.status]);
  put(place, ".rate", here && camera.fps !== null && camera.fps !== undefined ? `${camera.fps.toFixed(1)} of ${camera.wanted_fps} a second` : "");
  put(place, ".age", here || camera.status === "offline" ? age(camera.age_s) : "");
  put(place, ".why", camera.problem ?? (here ? camera.awake : "") ?? "");
  put(place, ".open", camera.open?.length ? `There now: ${camera.open.map((name) => watches[name]?.title ?? name).join(", ")}` : "");
}

export function put(place, selector, text) {
  const found = place.querySelector(selector);
  if (found && found.textContent !== text) found.textContent = text;
}

export function age(seconds) {
  if (seconds === null || seconds === undefined) return "no frame yet";
  if (seconds < 2) return "now";
  if (seconds < 120) return `${Math.round(seconds)} s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}

export function problems(sentences) {
  const list = document.getElementById("problems");
  if (!list) return;
  const lines = sentences.map((sentence) => {
    const line = document.createElement("li");
    line.textContent = sentence;
    return line;
  });
  if (list.textContent !== lines.map((line) => line.textContent).join("")) list.replaceChildren(...lines);
}

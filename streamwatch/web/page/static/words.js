import { live } from "./live.js";
import { svg } from "./view.js";
import { propose, told } from "./edits.js";

const root = document.documentElement.dataset.root;
const view = document.querySelector("camera-view");
const [form, camera, prompts, rivals, stop, said, chart, range, shown, over, legend] =
  ["words", "camera", "prompts", "rivals", "stop", "said", "chart", "threshold", "threshold-shown", "over", "legend"].map((id) => document.getElementById(id));
const COLOURS = ["#0891b2", "#dc6803", "#7c3aed", "#16a34a", "#db2777", "#a16207", "#2563eb", "#dc2626", "#0d9488", "#737373"];
const WIDTH = 300, HEIGHT = 140, MINUTE_MS = 60_000;
const texts = (input) => input.value.split(",").map((text) => text.trim()).filter(Boolean);
const y = (confidence) => HEIGHT - confidence * (HEIGHT - 6);

let tried = [];
let looks = [];  // {at, best: {prompt: confidence}}

view.threshold = Number(range.value);
view.weak = true;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  tried = texts(prompts);
  if (!tried.length) {
    prompts.focus();
    said.textContent = "Write what to look for.";
    return;
  }
  looks = [];
  view.setAttribute("camera", camera.value);
  view.clear("The words are being read …");
  const width = Math.ceil(view.clientWidth * Math.min(devicePixelRatio, 2));
  live.words({ camera: camera.value, prompts: tried, not: texts(rivals), width });
  said.textContent = `Looking for ${tried.join(", ")} …`;
  stop.disabled = false;
  draw();
});

stop.addEventListener("click", end);

function end() {
  live.words(null);
  stop.disabled = true;
  said.textContent = "Stopped.";
}

live.addEventListener("trial", ({ detail }) => {
  said.textContent = detail;
  said.className = "problem";
});

live.addEventListener("trial-shot", ({ detail: shot }) => {
  said.className = "soft";
  const best = {};
  for (const { prompt, confidence, watches } of shot.marks) {
    if (watches.length) best[prompt] = Math.max(best[prompt] ?? 0, confidence);
  }
  const at = performance.now();
  looks.push({ at, best });
  looks = looks.filter((look) => look.at > at - MINUTE_MS);
  const beaten = shot.marks.filter(({ watches }) => !watches.length).length;
  const sure = shot.marks.filter((mark) => view.sure(mark)).length;
  said.textContent = `${sure} as sure as the threshold in this picture, ${shot.marks.length - sure - beaten} weaker${beaten ? `, ${beaten} look more like something else` : ""}.`;
  const button = document.getElementById("make-button");
  if (button) button.disabled = false;
  const name = document.getElementById("name");
  if (name && !name.value) name.value = tried[0].toLowerCase().replace(/[^a-z0-9_-]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 63);
  draw();
});

// --- confidences over time -----------------------------------------------------------------------

function draw() {
  const now = looks.at(-1)?.at ?? performance.now();
  const drawn = [svg("line", { class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT })];
  for (const [number, prompt] of tried.entries()) {
    const points = looks.map(({ at, best }) => `${(1 - (now - at) / MINUTE_MS) * WIDTH},${y(best[prompt] ?? 0)}`);
    drawn.push(svg("polyline", { points: points.join(" "), stroke: COLOURS[number % COLOURS.length] }));
  }
  const threshold = Number(range.value);
  drawn.push(svg("line", { class: "needed", x1: 0, x2: WIDTH, y1: y(threshold), y2: y(threshold) }));
  drawn.push(svg("text", { x: 0, y: HEIGHT + 14 }, "a minute ago"), svg("text", { x: WIDTH, y: HEIGHT + 14, "text-anchor": "end" }, "now"));
  chart.replaceChildren(...drawn);
  legend.replaceChildren(...tried.map((prompt, number) => {
    const line = document.createElement("li");
    const colour = svg("svg", { viewBox: "0 0 10 6", "aria-hidden": "true" });
    colour.append(svg("rect", { width: 10, height: 6, fill: COLOURS[number % COLOURS.length] }));
    const values = looks.map(({ best }) => best[prompt] ?? 0);
    const most = values.length ? Math.max(...values) : 0;
    line.append(colour, `${prompt}: ${(values.at(-1) ?? 0).toFixed(2)} now, ${most.toFixed(2)} at most`);
    return line;
  }));
  const above = looks.filter(({ best }) => Object.values(best).some((value) => value >= threshold)).length;
  over.textContent = looks.length ? `Found in ${above} of the last ${looks.length} looks at this threshold.` : "";
  chart.setAttribute("aria-label", `Confidences of the last minute; the threshold is ${threshold.toFixed(2)}. ${legend.textContent}`);
}

function set(threshold) {
  range.value = Math.min(0.95, Math.max(0.05, threshold));
  shown.value = Number(range.value).toFixed(2);
  view.threshold = Number(range.value);
  view.redraw();
  draw();
}

range.addEventListener("input", () => set(Number(range.value)));
for (const kind of ["pointerdown", "pointermove"]) {
  chart.addEventListener(kind, (event) => {
    if (!(event.buttons & 1)) return;
    chart.setPointerCapture(event.pointerId);
    const place = chart.getBoundingClientRect();
    const at = (event.clientY - place.top) / place.height * 160;
    set((HEIGHT - at) / (HEIGHT - 6));
  });
}

// --- a watch of it -------------------------------------------------------------------------------

document.getElementById("make")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = document.getElementById("name").value;
  const against = texts(rivals);
  const add = {
    prompt: tried.length === 1 ? tried[0] : tried,
    ...(against.length ? { not: against.length === 1 ? against[0] : against } : {}),
    confidence: Number(range.value),
    ...(document.getElementById("only").checked ? { cameras: [camera.value] } : {}),
  };
  const outcome = await propose({ section: "watches", name, add }, `New watch ${name}`);
  if (outcome?.done) {
    end();
    location.href = `${root}/watches/${encodeURIComponent(name)}`;
  } else if (outcome) {
    said.className = "problem";
    said.textContent = told(outcome);
  }
});

draw();
if (texts(prompts).length && camera.value) form.requestSubmit();

import { live } from "./live.js";
import "./view.js";
import { Drawing, boxOf } from "./draw.js";
import { preview, propose, told } from "./edits.js";
import { tell } from "./states.js";

const camera = JSON.parse(document.getElementById("areas").textContent);
const edits = document.documentElement.dataset.edits === "yes";
const place = document.querySelector(".one");
const view = document.querySelector("camera-view");
const [list, hint, undo, save, mistakes] = ["shapes", "hint", "undo", "save", "mistakes"].map((id) => document.getElementById(id));
const drawing = new Drawing(view, camera, edits);
const HINTS = {
  polygon: "Set the corners with clicks or taps; end at the first one, or with Enter. Escape gives up.",
  box: "Drag a box over the picture.",
  chosen: "Drag a corner, or move it with the arrow keys; drag a small dot to add one; Delete takes the corner away.",
};

live.addEventListener("state", ({ detail: state }) => {
  const gone = { status: "removed", problem: "It is not in the configuration file any more." };
  tell(place, state.cameras[camera.name] ?? gone, state.watches);
});

document.getElementById("weak").addEventListener("change", ({ target }) => {
  view.weak = target.checked;
  view.redraw();
});

// --- what is written -----------------------------------------------------------------------------

const written = () => {
  const of = (kind) => drawing.shapes.filter((shape) => shape.kind === kind);
  const zones = of("zone"), crop = of("crop")[0];
  const some = (shapes) => (shapes.length ? shapes.map(({ points }) => points) : null);
  return {
    zones: zones.length ? Object.fromEntries(zones.map(({ name, points }) => [name, points])) : null,
    ignore: some(of("ignore")),
    mask: some(of("mask")),
    crop: crop ? boxOf(crop.points) : null,
  };
};

let before = written();

function edit() {
  const now = written();
  const set = Object.fromEntries(Object.entries(now).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(before[key])));
  return Object.keys(set).length ? { section: "cameras", name: camera.name, set } : null;
}

function twice() {
  const names = drawing.shapes.filter(({ kind }) => kind === "zone").map(({ name }) => name);
  return names.find((name, index) => names.indexOf(name) !== index);
}

// --- mistakes, where they are --------------------------------------------------------------------

let checking = null;
let found = new Map();

function shapeAt(path) {
  const rest = path.replace(`cameras.${camera.name}.`, "");
  const [, list, number] = /^(mask|ignore)\[(\d+)\]/.exec(rest) ?? [];
  if (list) return drawing.shapes.filter(({ kind }) => kind === list)[Number(number)];
  const zone = /^zones\.([^.[]+)/.exec(rest)?.[1];
  if (zone) return drawing.shapes.find(({ kind, name }) => kind === "zone" && name === zone);
  return drawing.shapes.find(({ kind }) => rest.startsWith(kind));
}

async function check() {
  const now = edit();
  const same = twice();
  const problems = same ? [{ path: `cameras.${camera.name}.zones.${same}`, message: "two zones have this name", said: "two zones have this name" }]
    : now ? (await preview(now)).problems ?? [] : [];
  found = new Map();
  const rest = [];
  for (const problem of problems) {
    const shape = shapeAt(problem.path);
    if (shape) found.set(shape, problem.message);
    else rest.push(problem.said);
  }
  drawing.wrong = new Set(found.keys());
  drawing.draw();
  show();
  say(rest);
  save.disabled = !now || problems.length > 0;
}

function say(sentences) {
  mistakes.replaceChildren(...sentences.map((sentence) => {
    const line = document.createElement("li");
    line.textContent = sentence;
    return line;
  }));
}

// --- the list of shapes --------------------------------------------------------------------------

const LABELS = { zone: "Zone", ignore: "Ignored", mask: "Masked", crop: "Crop", size: "Least size" };

function button(label, name, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.setAttribute("aria-label", name);
  made.addEventListener("click", act);
  return made;
}

function show() {
  const focused = document.activeElement?.dataset?.key;
  const rows = drawing.shapes.map((shape, number) => {
    const row = document.createElement("li");
    row.className = shape.kind;
    const label = shape.kind === "zone" ? shape.name : `${LABELS[shape.kind]} ${number + 1}`;
    if (shape.kind === "zone" && edits && shape === drawing.chosen) {
      const name = document.createElement("input");
      name.value = shape.name;
      name.setAttribute("aria-label", "Name of the zone");
      name.maxLength = 63;
      name.dataset.key = "name";
      name.addEventListener("change", () => drawing.rename(shape, name.value.trim()));
      row.append(name);
    } else {
      const pick = button(label, `${edits ? "Edit" : "Show"} ${label}`, () => drawing.pick(shape));
      pick.className = "pick quiet";
      pick.setAttribute("aria-pressed", String(shape === drawing.chosen));
      row.append(pick);
    }
    if (shape.kind === "size") row.append(...leastSize(shape));
    if (edits) row.append(button("Delete", `Delete ${label}`, () => drawing.remove(shape)));
    if (found.has(shape)) {
      const mistake = document.createElement("p");
      mistake.className = "mistake";
      mistake.setAttribute("role", "alert");
      mistake.textContent = found.get(shape);
      row.append(mistake);
    }
    return row;
  });
  list.replaceChildren(...rows);
  if (focused) list.querySelector(`[data-key="${focused}"]`)?.focus();
  if (!edits) return;
  undo.disabled = !drawing.undoable && !drawing.adding;
  const kind = drawing.adding;
  hint.textContent = kind ? HINTS[kind === "crop" || kind === "size" ? "box" : "polygon"] : drawing.chosen ? HINTS.chosen : "";
}

function leastSize(shape) {
  const [x1, y1, x2, y2] = boxOf(shape.points);
  const area = Math.round((x2 - x1) * (y2 - y1) * 10000) / 10000;
  const choice = document.createElement("select");
  choice.setAttribute("aria-label", "Watch");
  for (const { name, title } of camera.watches) choice.add(new Option(title, name));
  const use = button(`Use ${area}`, `Use ${area} of the picture as the least size`, async () => {
    const outcome = await propose({ section: "watches", name: choice.value, set: { min_area: area } }, `Least size of ${choice.value}`);
    say(outcome ? [told(outcome)] : []);
  });
  use.disabled = !camera.watches.length;
  return [choice, use];
}

// --- the tools -----------------------------------------------------------------------------------

drawing.addEventListener("change", () => {
  show();
  save.disabled = true;
  clearTimeout(checking);
  checking = setTimeout(check, 250);
});
drawing.addEventListener("pick", show);
if (edits) {
  document.getElementById("tools").addEventListener("click", (event) => {
    const kind = event.target.dataset.add;
    if (kind) drawing.add(kind, event.detail === 0);
  });
  undo.addEventListener("click", () => {
    drawing.undo();
    show();
  });
  save.addEventListener("click", async () => {
    const outcome = await propose(edit(), `Change ${camera.title}`);
    if (!outcome) return;
    if (outcome.done) before = written();
    save.disabled = Boolean(outcome.done);
    say([told(outcome)]);
  });
}
view.addEventListener("shot", () => drawing.draw(), { once: true });
show();
drawing.draw();

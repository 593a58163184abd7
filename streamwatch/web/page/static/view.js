// <camera-view camera="porch">: a camera's live picture, with what was found drawn over it.
import { live } from "./live.js";

const SVG = "http://www.w3.org/2000/svg";

export function svg(name, attributes = {}, text = null) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  return made;
}

const visible = new Set();
let asked = "";

function look() {
  const widths = {};
  for (const view of visible) {
    if (view.trial) continue;
    const width = Math.ceil(view.clientWidth * Math.min(devicePixelRatio, 2));
    if (view.camera) widths[view.camera] = Math.max(widths[view.camera] ?? 0, width, 1);
  }
  const now = JSON.stringify(widths);
  if (now !== asked) {
    asked = now;
    live.look(widths);
  }
}

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) visible[isIntersecting ? "add" : "delete"](target);
  look();
});
const sized = new ResizeObserver(() => {
  look();
  for (const view of visible) {
    view.redraw();
    view.show(view.shown);
  }
});

class CameraView extends HTMLElement {
  weak = false;
  shown = null;
  #shot = null;

  connectedCallback() {
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `${this.getAttribute("label")}: no picture yet`);
    this.svg = svg("svg", { "aria-hidden": "true" });
    this.areas = svg("g");
    this.marks = svg("g");
    this.svg.append(this.areas, this.marks);
    this.waits = document.createElement("p");
    this.waits.className = "waits";
    this.waits.textContent = this.trial ? "Write what to look for" : "Waiting for a picture …";
    this.append(this.canvas, this.svg, this.waits);
    seen.observe(this);
    sized.observe(this);
    live.addEventListener(this.trial ? "trial-shot" : "live-shot", ({ detail }) => {
      if (this.trial || detail.camera === this.camera) this.#take(detail);
    });
  }

  get camera() { return this.getAttribute("camera"); }
  get trial() { return this.hasAttribute("trial"); }
  get shot() { return this.#shot; }

  async #take(shot) {
    try {
      const image = await createImageBitmap(shot.jpeg);
      if (this.canvas.width !== image.width || this.canvas.height !== image.height) {
        this.canvas.width = image.width;
        this.canvas.height = image.height;
        this.style.aspectRatio = `${shot.size[0]} / ${shot.size[1]}`;
      }
      this.canvas.getContext("2d").drawImage(image, 0, 0);
      image.close();
      this.#shot = shot;
      this.dataset.shots = Number(this.dataset.shots ?? 0) + 1;
      this.waits.hidden = true;
      this.redraw();
      this.dispatchEvent(new CustomEvent("shot", { detail: shot }));
    } finally {
      if (this.trial) live.more();
      else live.next(this.camera);
    }
  }

  /** Draw what was found: labels have the same size however large the picture is. */
  redraw() {
    const width = this.clientWidth, height = this.clientHeight;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    if (!this.#shot) return;
    const drawn = [], told = [];
    for (const mark of [...this.#shot.marks].reverse()) {
      const sure = this.sure(mark);
      if (!sure && !this.weak) continue;
      const [x1, y1, x2, y2] = mark.box;
      const kind = sure ? "" : " weak";
      const [x, y, w, h] = [x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height];
      const why = mark.why ? `: ${mark.why}` : "";
      const label = `${mark.prompt} ${Math.round(mark.confidence * 100)} %${why}`;
      drawn.push(svg("rect", { class: `mark${kind}`, x, y, width: w, height: h }));
      const plate = Math.min(label.length * 8 + 8, width);
      const left = Math.max(0, Math.min(x, width - plate));
      const top = y >= 18 ? y - 18 : Math.min(y + h, height - 18);
      drawn.push(svg("rect", { class: `plate${kind}`, x: left, y: top, width: plate, height: 18 }));
      drawn.push(svg("text", { class: "name", x: left + 4, y: top + 13.5 }, label));
      if (sure) told.push(label);
    }
    this.marks.replaceChildren(...drawn);
    const what = told.length ? told.reverse().join(", ") : "nothing found";
    this.canvas.setAttribute("aria-label", `${this.getAttribute("label")}: ${what}`);
  }

  sure(mark) { return this.threshold === undefined ? mark.watches.length > 0 : mark.confidence >= this.threshold && mark.watches.length > 0; }

  /** Say why there is no newer picture; nothing where there is one. */
  stale(sentence) {
    this.classList.toggle("stale", Boolean(sentence));
    if (!this.#shot) this.waits.textContent = sentence || "Waiting for a picture …";
  }

  clear(sentence) {
    this.#shot = null;
    this.marks.replaceChildren();
    this.canvas.width = this.canvas.width;
    this.waits.textContent = sentence;
    this.waits.hidden = false;
  }

  /** Show areas that nobody edits: {zones: {name: points}, ignore, mask, crop}; null for none. */
  show(areas) {
    if (!areas && !this.shown) return;  // somebody may edit them
    this.shown = areas;
    const drawn = [];
    const width = this.clientWidth, height = this.clientHeight;
    for (const [kind, name, points] of areas ? shapesOf(areas) : []) {
      drawn.push(svg("polygon", { class: `area ${kind}`, points: points.map(([x, y]) => `${x * width},${y * height}`).join(" ") }));
      const [x, y] = points.reduce((a, b) => (b[1] < a[1] ? b : a));
      drawn.push(svg("text", { class: "name", x: x * width + 4, y: y * height + 16, fill: "#fff" }, name));
    }
    this.areas.replaceChildren(...drawn);
  }
}

export function shapesOf({ zones, ignore, mask, crop }) {
  const shapes = Object.entries(zones).map(([name, points]) => ["zone", name, points]);
  for (const points of ignore) shapes.push(["ignore", "ignore", points]);
  for (const points of mask) shapes.push(["mask", "mask", points]);
  if (crop) {
    const [x1, y1, x2, y2] = crop;
    shapes.push(["crop", "crop", [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]]);
  }
  return shapes;
}

customElements.define("camera-view", CameraView);

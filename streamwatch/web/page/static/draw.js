// Zones, ignored areas, masks and crops, drawn over a picture with the mouse, a finger or the keys.
import { shapesOf, svg } from "./view.js";

const STEP = 0.01, FINE = 0.001, NEAR_PX = 16, LEAST = 0.01;
const share = (value) => Math.round(Math.min(1, Math.max(0, value)) * 1000) / 1000;
const isBox = (kind) => kind === "crop" || kind === "size";

export function boxOf(points) {
  const xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

const corners = ([x1, y1, x2, y2]) => [[x1, y1], [x2, y1], [x2, y2], [x1, y2]];

/** The edges of a polygon that cross: pairs of [from, to]. */
export function crossings(points) {
  const edges = points.map((point, i) => [point, points[(i + 1) % points.length]]);
  const turn = ([ax, ay], [bx, by], [cx, cy]) => Math.sign((bx - ax) * (cy - ay) - (by - ay) * (cx - ax));
  const cross = ([a, b], [c, d]) => turn(a, b, c) * turn(a, b, d) < 0 && turn(c, d, a) * turn(c, d, b) < 0;
  const found = new Set();
  for (const [i, one] of edges.entries()) {
    for (const [j, other] of edges.entries()) {
      if (j > i && cross(one, other)) found.add(one).add(other);
    }
  }
  return [...found];
}

/** Edits shapes over a <camera-view>. Tells "change" once they are others, "pick" once one is chosen. */
export class Drawing extends EventTarget {
  #view;
  #past = [];
  #adding = null;  // {kind, points} while it is drawn
  #held = null;    // what is dragged
  wrong = new Set();

  constructor(view, camera, edits) {
    super();
    this.#view = view;
    this.shapes = shapesOf(camera).map(([kind, name, points]) => ({ kind, name, points }));
    this.chosen = null;
    new ResizeObserver(() => this.draw()).observe(view);
    if (!edits) return;
    view.svg.removeAttribute("aria-hidden");
    view.svg.setAttribute("role", "group");
    view.svg.setAttribute("aria-label", "Zones and areas over the picture");
    view.svg.addEventListener("pointerdown", (event) => this.#press(event));
    view.svg.addEventListener("pointermove", (event) => this.#move(event));
    view.svg.addEventListener("pointerup", (event) => this.#release(event));
    view.svg.addEventListener("pointercancel", (event) => this.#release(event));
    view.svg.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("keydown", (event) => {
      if (!this.#adding) return;
      if (event.key === "Escape") this.#stop();
      else if (event.key === "Enter" && event.target === document.body) this.#close();
    });
  }

  get adding() { return this.#adding?.kind ?? null; }
  get undoable() { return this.#past.length > 0; }

  /** Begin a new shape; with `ready`, for those who use the keys, one in the middle is made. */
  add(kind, ready) {
    this.#stop();
    if (kind === "crop" || kind === "size") {
      const there = this.shapes.find((shape) => shape.kind === kind);
      if (there) return this.pick(there);
    }
    if (ready) return this.#put({ kind, points: corners([0.35, 0.35, 0.65, 0.65]) });
    this.#adding = { kind, points: [] };
    this.chosen = null;
    this.#view.classList.add("drawing");
    this.draw();
    this.dispatchEvent(new Event("pick"));
  }

  pick(shape) {
    this.chosen = shape;
    this.#view.classList.toggle("drawing", Boolean(shape));
    this.draw();
    this.dispatchEvent(new Event("pick"));
  }

  rename(shape, name) {
    this.#change(() => { shape.name = name; });
  }

  remove(shape) {
    this.#change(() => {
      this.shapes = this.shapes.filter((other) => other !== shape);
      if (this.chosen === shape) this.chosen = null;
    });
    this.#view.classList.toggle("drawing", Boolean(this.chosen));
  }

  undo() {
    if (this.#adding?.points.length) {
      this.#adding.points.pop();
      return this.draw();
    }
    const before = this.#past.pop();
    if (!before) return;
    this.shapes = before;
    this.chosen = null;
    this.#view.classList.remove("drawing");
    this.draw();
    this.dispatchEvent(new Event("change"));
  }

  #put({ kind, points }) {
    const taken = new Set(this.shapes.map(({ name }) => name));
    let name = kind;
    for (let number = 1; kind === "zone" && (number === 1 || taken.has(name)); number++) name = `zone-${number}`;
    const shape = { kind, name, points };
    this.#change(() => { this.shapes.push(shape); });
    this.pick(shape);
  }

  #change(change) {
    this.#past.push(structuredClone(this.shapes));
    change();
    this.draw();
    this.dispatchEvent(new Event("change"));
  }

  #stop() {
    if (!this.#adding) return;
    this.#adding = null;
    this.#view.classList.remove("drawing");
    this.draw();
    this.dispatchEvent(new Event("pick"));
  }

  #close() {
    const { kind, points } = this.#adding;
    if (points.length < 3) return;
    this.#adding = null;
    this.#put({ kind, points });
  }

  #at(event) {
    const place = this.#view.svg.getBoundingClientRect();
    return [share((event.clientX - place.left) / place.width), share((event.clientY - place.top) / place.height)];
  }

  #near([ax, ay], [bx, by]) {
    const place = this.#view.svg.getBoundingClientRect();
    return Math.hypot((ax - bx) * place.width, (ay - by) * place.height) <= NEAR_PX;
  }

  #press(event) {
    if (event.button) return;
    const point = this.#at(event);
    if (this.#adding) {
      event.preventDefault();
      const { kind, points } = this.#adding;
      if (isBox(kind)) {
        this.#adding.points = corners([...point, ...point]);
        this.#held = { from: point };
        this.#view.svg.setPointerCapture(event.pointerId);
      } else if (points.length >= 3 && this.#near(point, points[0])) {
        this.#close();
      } else {
        points.push(point);
      }
      return this.draw();
    }
    const { corner, middle, shape } = event.target.dataset;
    if (!this.chosen || (corner === undefined && middle === undefined)) {
      if (shape !== undefined) this.pick(this.shapes[shape]);
      else if (this.chosen) this.pick(null);
      return;
    }
    event.preventDefault();
    const before = structuredClone(this.shapes);
    let index = Number(corner);
    if (middle !== undefined) {
      index = Number(middle) + 1;
      this.chosen.points.splice(index, 0, point);
    }
    this.#held = { index, before };
    this.#view.svg.setPointerCapture(event.pointerId);
    this.draw();
    this.#view.svg.querySelector(`[data-corner="${index}"]`)?.focus();
  }

  #move(event) {
    if (!this.#held) return;
    const point = this.#at(event);
    if (this.#held.from) this.#adding.points = corners(boxOf([this.#held.from, point]));
    else this.#set(this.#held.index, point);
    this.draw();
  }

  #release() {
    const held = this.#held;
    this.#held = null;
    if (!held) return;
    if (held.from) {
      const [x1, y1, x2, y2] = boxOf(this.#adding.points);
      const adding = this.#adding;
      this.#stop();
      if (x2 - x1 >= LEAST && y2 - y1 >= LEAST) this.#put(adding);
      return;
    }
    if (JSON.stringify(held.before) === JSON.stringify(this.shapes)) return;
    this.#past.push(held.before);
    this.dispatchEvent(new Event("change"));
  }

  /** Put a corner elsewhere; of a box the two beside it follow. */
  #set(index, [x, y]) {
    const { kind, points } = this.chosen;
    if (isBox(kind)) {
      const [ox, oy] = points[(index + 2) % 4];
      const [left, right] = [0, 3].includes(index) ? [Math.min(x, ox - LEAST), ox] : [ox, Math.max(x, ox + LEAST)];
      const [top, bottom] = [0, 1].includes(index) ? [Math.min(y, oy - LEAST), oy] : [oy, Math.max(y, oy + LEAST)];
      this.chosen.points = corners([left, top, right, bottom].map(share));
    } else {
      points[index] = [share(x), share(y)];
    }
  }

  #key(event) {
    const index = Number(event.target.dataset?.corner);
    if (!this.chosen || Number.isNaN(index)) return;
    const step = event.shiftKey ? FINE : STEP;
    const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (by) {
      const [x, y] = this.chosen.points[index];
      this.#change(() => this.#set(index, [x + by[0], y + by[1]]));
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.cut(index);
    } else {
      return;
    }
    event.preventDefault();
    this.#view.svg.querySelector(`[data-corner="${Math.min(index, this.chosen.points.length - 1)}"]`)?.focus();
  }

  /** Take a corner away; a triangle keeps its three. */
  cut(index) {
    if (!this.chosen || isBox(this.chosen.kind) || this.chosen.points.length <= 3) return;
    this.#change(() => { this.chosen.points.splice(index, 1); });
  }

  draw() {
    const width = this.#view.clientWidth, height = this.#view.clientHeight;
    const scaled = (points) => points.map(([x, y]) => `${x * width},${y * height}`).join(" ");
    const drawn = [];
    for (const [number, shape] of this.shapes.entries()) {
      const kind = shape.kind + (shape === this.chosen ? " chosen" : "") + (this.wrong.has(shape) ? " wrong" : "");
      drawn.push(svg("polygon", { class: `area ${kind}`, points: scaled(shape.points), "data-shape": number }));
      for (const [from, to] of isBox(shape.kind) ? [] : crossings(shape.points)) {
        drawn.push(svg("line", { class: "crossing", x1: from[0] * width, y1: from[1] * height, x2: to[0] * width, y2: to[1] * height }));
      }
    }
    if (this.#adding?.points.length) {
      const { kind, points } = this.#adding;
      drawn.push(svg(isBox(kind) ? "polygon" : "polyline", { class: `area ${kind} chosen`, points: scaled(points) }));
      if (!isBox(kind)) for (const [x, y] of points) drawn.push(svg("circle", { class: `corner ${kind}`, cx: x * width, cy: y * height, r: 7 }));
    }
    if (this.chosen) {
      const { kind, name, points } = this.chosen;
      if (!isBox(kind)) {
        for (const [index, [x, y]] of points.entries()) {
          const [nx, ny] = points[(index + 1) % points.length];
          drawn.push(svg("circle", { class: "middle", "data-middle": index, cx: (x + nx) / 2 * width, cy: (y + ny) / 2 * height, r: 6 }));
        }
      }
      for (const [index, [x, y]] of points.entries()) {
        drawn.push(svg("circle", {
          class: `corner ${kind}`, "data-corner": index, cx: x * width, cy: y * height, r: 9, tabindex: 0, role: "button",
          "aria-label": `${name}, corner ${index + 1} of ${points.length}, at ${Math.round(x * 100)} and ${Math.round(y * 100)} percent; arrows move it`,
        }));
      }
    }
    const focused = document.activeElement?.dataset?.corner;
    this.#view.areas.replaceChildren(...drawn);
    this.#view.svg.append(this.#view.areas);  // above what is found, to be reached
    if (focused !== undefined && this.#view.svg.contains(document.activeElement) === false && !this.#held) {
      this.#view.svg.querySelector(`[data-corner="${focused}"]`)?.focus();
    }
  }
}

// The connection over which pictures, states and trials of words come.
const root = document.documentElement.dataset.root;
const AGAIN_MS = [500, 1000, 2000, 5000];

/** Whether one has to log in again. */
async function hasEnded() {
  try {
    return !(await (await fetch(`${root}/session`)).json()).in;
  } catch {
    return false;
  }
}

export class Live extends EventTarget {
  #socket = null;
  #failures = 0;
  #widths = {};
  #words = null;

  constructor() {
    super();
    document.addEventListener("visibilitychange", () => this.#begin());
    addEventListener("pagehide", () => this.#end());
    addEventListener("pageshow", (event) => event.persisted && this.#begin());
    this.#begin();
  }

  /** Look at these cameras: {name: width in pixels}. */
  look(widths) {
    this.#widths = widths;
    this.#send({ look: widths });
  }

  /** Another picture of this camera may come. */
  next(camera) { this.#send({ next: camera }); }

  /** Try words, {camera, prompts, not, width}; null ends that. */
  words(asked) {
    this.#words = asked;
    this.#send({ words: asked });
  }

  more() { this.#send({ more: true }); }

  #begin() {
    if (document.hidden) {  // nothing is rendered for a page that nobody sees
      this.#end();
      return;
    }
    if (this.#socket) return;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}${root}/live`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#failures = 0;
      this.#notice("");
      this.#send({ look: this.#widths });
      if (this.#words) this.#send({ words: this.#words });
    };
    socket.onmessage = (message) => this.#take(message.data);
    socket.onclose = async () => {
      this.#socket = null;
      if (document.hidden) return;
      if (this.#failures && await hasEnded()) location.reload();  // to the login
      const wait = AGAIN_MS[Math.min(this.#failures++, AGAIN_MS.length - 1)];
      if (this.#failures > 1) this.#notice("There is no connection to streamwatch; trying again.");
      setTimeout(() => this.#begin(), wait);
    };
    this.#socket = socket;
  }

  #end() {
    const socket = this.#socket;
    if (socket?.readyState === WebSocket.CONNECTING) {  // a browser warns of a close before it is open
      socket.onopen = () => socket.close();
    } else {
      socket?.close();
    }
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #take(data) {
    if (typeof data === "string") {
      const message = JSON.parse(data);
      if (message.problem) this.#notice(message.problem);
      for (const kind of ["state", "trial"]) {
        if (kind in message) this.dispatchEvent(new CustomEvent(kind, { detail: message[kind] }));
      }
      return;
    }
    const length = new DataView(data).getUint32(0);
    const shot = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    shot.jpeg = new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" });
    this.dispatchEvent(new CustomEvent(`${shot.kind}-shot`, { detail: shot }));
  }

  #notice(sentence) {
    const notice = document.getElementById("connection");
    notice.textContent = sentence;
    notice.hidden = !sentence;
  }
}

export const live = new Live();

import { live } from "./live.js";
import "./view.js";
import { problems, tell } from "./states.js";

const root = document.documentElement.dataset.root;
const tiles = new Map([...document.querySelectorAll(".tile")].map((tile) => [tile.dataset.camera, tile]));

live.addEventListener("state", ({ detail: state }) => {
  if (Object.keys(state.cameras).join() !== [...tiles.keys()].join()) location.reload();
  for (const [name, tile] of tiles) tell(tile, state.cameras[name], state.watches);
  problems(state.problems);
});

document.getElementById("weak").addEventListener("change", ({ target }) => {
  for (const view of document.querySelectorAll("camera-view")) {
    view.weak = target.checked;
    view.redraw();
  }
});

document.getElementById("areas").addEventListener("change", async ({ target }) => {
  for (const [name, tile] of tiles) {
    const view = tile.querySelector("camera-view");
    if (!target.checked) {
      view.show(null);
      continue;
    }
    const answer = await fetch(`${root}/cameras/${encodeURIComponent(name)}/areas`);
    if (answer.ok) view.show(await answer.json());
  }
});

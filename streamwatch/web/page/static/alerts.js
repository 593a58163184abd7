import { teach, told } from "./edits.js";
import { live } from "./live.js";

// In the list: say that there are newer ones, since a list that moves by itself is hard to read.
const newer = document.getElementById("newer");
live.addEventListener("state", ({ detail: { newest } }) => {
  if (!newer || !newest || "later" in newer.dataset || newer.childElementCount) return;
  const { camera, watch } = newer.dataset;
  const meant = (!camera || camera === newest.camera) && (!watch || watch === newest.watch);
  // Ids are ULIDs, which sort by time.
  if (!meant || newest.id <= newer.dataset.newest) return;
  const show = document.createElement("a");
  show.className = "button strong";
  show.href = location.href;
  show.textContent = "There are newer ones: show them";
  newer.append(show);
});

document.addEventListener("click", async ({ target }) => {
  const verdict = target.closest(".verdict");
  if (!verdict || !target.dataset.is) return;
  const said = verdict.querySelector("[role=status]");
  const outcome = await teach(verdict.dataset.id, target.dataset.is);
  if (outcome.problems) {
    said.textContent = told(outcome);
    return;
  }
  for (const button of verdict.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button === target));
  }
  said.textContent = outcome.done || "Thank you, it is learnt.";
});

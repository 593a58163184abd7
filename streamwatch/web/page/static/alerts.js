import { teach, told } from "./edits.js";

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

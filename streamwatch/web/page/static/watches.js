import { propose, told } from "./edits.js";

const root = document.documentElement.dataset.root;
const said = document.getElementById("said");
const lines = (id) => document.getElementById(id).value.split("\n").map((line) => line.trim()).filter(Boolean);
const oneOrAll = (texts) => (texts.length === 1 ? texts[0] : texts);

// In the list: enable and disable.
for (const box of document.querySelectorAll(".enabled")) {
  box.addEventListener("change", async () => {
    const name = box.closest("[data-watch]").dataset.watch;
    const edit = { section: "watches", name, set: { enabled: box.checked } };
    const outcome = await propose(edit, box.checked ? `Enable ${name}` : `Disable ${name}`);
    if (!outcome?.done) box.checked = !box.checked;
    said.className = outcome?.problems ? "problem" : "";
    said.textContent = told(outcome);
  });
}

// One watch: its words and its threshold.
const form = document.getElementById("edit");
if (form) {
  const name = form.closest("[data-watch]").dataset.watch;
  const [range, shown, learns] = ["confidence", "confidence-shown", "learns"].map((id) => document.getElementById(id));
  const written = () => ({ prompt: lines("prompt"), not: lines("not"), learns: learns.checked, enabled: document.getElementById("enabled").checked, confidence: range.value });
  let before = written();
  const follow = () => {
    shown.value = Number(range.value).toFixed(2);
    range.disabled = learns.checked || document.documentElement.dataset.edits === "no";
  };
  range.addEventListener("input", follow);
  learns.addEventListener("change", follow);
  follow();
  document.getElementById("take")?.addEventListener("click", ({ target }) => {
    learns.checked = false;
    range.value = target.dataset.suggested;
    follow();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const set = {}, now = written();
    if (now.prompt.join("\n") !== before.prompt.join("\n")) set.prompt = oneOrAll(now.prompt);
    if (now.not.join("\n") !== before.not.join("\n")) set.not = now.not.length ? oneOrAll(now.not) : null;
    if (now.enabled !== before.enabled) set.enabled = now.enabled;
    if (now.learns && !before.learns) set.confidence = "auto";
    else if (!now.learns && (before.learns || now.confidence !== before.confidence)) set.confidence = Number(now.confidence);
    await change({ section: "watches", name, set }, `Change ${name}`, false);
  });
  document.getElementById("remove")?.addEventListener("click", () => change({ section: "watches", name, remove: true }, `Remove ${name}`, true));

  async function change(edit, title, gone) {
    const outcome = await propose(edit, title);
    said.className = outcome?.problems ? "problem" : "";
    said.textContent = told(outcome);
    if (outcome?.done && gone) location.href = `${root}/watches`;
    else if (outcome?.done) before = written();
  }
}

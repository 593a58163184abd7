// An edit of the configuration file: its lines are shown before it is written.
const root = document.documentElement.dataset.root;

async function post(path, content) {
  let answer;
  try {
    answer = await fetch(root + path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(content),
    });
  } catch {
    return { problems: [{ path: "", message: "There is no connection to streamwatch.", said: "There is no connection to streamwatch." }] };
  }
  if (answer.headers.get("Content-Type")?.startsWith("application/json")) return answer.json();
  const said = (await answer.text()).trim();
  return { problems: [{ path: "", message: said, said }] };
}

export const preview = (edit) => post("/edits/preview", edit);
export const teach = (id, is) => post("/teach", { id, is });

function lines(hunks) {
  const shown = document.createElement("pre");
  shown.tabIndex = 0;
  for (const { line, before, after } of hunks) {
    const at = document.createElement("span");
    at.className = "at";
    at.textContent = `line ${line}`;
    shown.append(at);
    for (const [tag, sign, texts] of [["del", "−", before], ["ins", "+", after]]) {
      for (const text of texts) {
        const row = document.createElement(tag);
        row.textContent = `${sign} ${text}`;
        shown.append(row);
      }
    }
  }
  return shown;
}

/** Show what an edit would write; once that is confirmed, write it. Gives {done}, {problems} or null. */
export async function propose(edit, title) {
  const seen = await preview(edit);
  if (seen.problems) return seen;
  if (!seen.hunks.length) return { done: "Nothing is changed by that." };
  const dialog = document.createElement("dialog");
  const heading = document.createElement("h2");
  heading.id = "proposed";
  heading.textContent = title;
  dialog.setAttribute("aria-labelledby", "proposed");
  const said = document.createElement("p");
  said.textContent = "This is written in the configuration file:";
  const buttons = document.createElement("div");
  buttons.className = "buttons";
  const [write, cancel] = ["Write it", "Cancel"].map((label) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    buttons.append(button);
    return button;
  });
  write.className = "strong";
  dialog.append(heading, said, lines(seen.hunks), buttons);
  document.body.append(dialog);
  const outcome = new Promise((resolve) => {
    write.addEventListener("click", async () => {
      write.disabled = cancel.disabled = true;
      said.textContent = "It is being written …";
      resolve(await post("/edits", { ...edit, seen: seen.of }));
      dialog.close();
    });
    cancel.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(null);
    });
  });
  dialog.showModal();
  return outcome;
}

/** What came of an edit, in words. */
export function told(outcome) {
  if (!outcome) return "";
  if (outcome.problems) return outcome.problems.map(({ said }) => said).join("\n");
  return `Done: ${outcome.done}`;
}

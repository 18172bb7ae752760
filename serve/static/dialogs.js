// The dialogs: settings, correction, key. Each is a form in a <dialog>: focus and Escape are the browser's.

import * as store from "./store.js";

/** Show a dialog with `values` in its fields; what its fields hold then, or null if it was cancelled. */
function fill(id, values) {
  const dialog = document.getElementById(id);
  const form = dialog.querySelector("form");
  for (const [name, value] of Object.entries(values)) form.elements[name].value = value;
  dialog.returnValue = "";
  dialog.showModal();
  const first = dialog.querySelector("textarea, input");
  if (first.value) first.setSelectionRange(0, 0);
  first.scrollTop = 0;
  return new Promise((resolve) => {
    const ended = () => resolve(dialog.returnValue ? Object.fromEntries(new FormData(form)) : null);
    dialog.addEventListener("close", ended, { once: true });
  });
}

/** Edit and keep the settings. */
export async function editSettings() {
  const values = await fill("settings", store.settings());
  if (values) store.saveSettings(values);
}

/** A better answer and a comment, each "" if there is none; null if cancelled. */
export async function askCorrection(content) {
  const values = await fill("correction", { correction: content, comment: "" });
  if (!values) return null;
  // A form's lines end in CR LF.
  const [correction, comment] = [values.correction, values.comment].map((text) => text.replace(/\r\n/g, "\n"));
  const changed = correction.trim() && correction.trim() !== content.trim();
  return { correction: changed ? correction : "", comment: comment.trim() };
}

let asking = null;

/** Ask for the API key and keep it; false if cancelled. Asked twice at once, there is one dialog. */
export function askKey() {
  const title = store.key() ? "That key was not accepted" : "This server asks for a key";
  document.getElementById("key-title").textContent = title;
  asking ??= fill("key", { key: "" }).then((values) => {
    asking = null;
    if (values) store.saveKey(values.key.trim());
    return values !== null;
  });
  return asking;
}

// The first submit button is "Cancel"; Enter in a field means the other one.
for (const form of document.querySelectorAll("dialog form")) {
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.target.tagName !== "INPUT" || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit(form.querySelector("button.main"));
  });
}

// Dialogs for settings, corrections and the API key: forms in <dialog>; the browser handles focus and Escape.

import * as store from "./store.js";

/** Show a dialog with `values` in its fields; resolve to the submitted values, or null if cancelled. */
function showDialog(id, values) {
  const dialog = document.getElementById(id);
  const form = dialog.querySelector("form");
  for (const [name, value] of Object.entries(values)) form.elements[name].value = value;
  dialog.showModal();
  const first = dialog.querySelector("textarea, input");
  if (first.value) first.setSelectionRange(0, 0);
  first.scrollTop = 0;
  return new Promise((resolve) => {
    // "close" follows "submit" as a separate task, before which the page may be left.
    const onSubmit = ({ submitter }) => resolve(submitter?.value ? Object.fromEntries(new FormData(form)) : null);
    form.addEventListener("submit", onSubmit, { once: true });
    dialog.addEventListener("close", () => resolve(null), { once: true });
  });
}

/** Edit and store the settings. */
export async function editSettings() {
  const values = await showDialog("settings", store.settings());
  if (values) store.saveSettings(values);
}

/** Ask for a corrected answer and a comment, "" if omitted; resolve to null if cancelled. */
export async function askCorrection(content) {
  const values = await showDialog("correction", { correction: content, comment: "" });
  if (!values) return null;
  // Lines in form data end in CR LF.
  const [correction, comment] = [values.correction, values.comment].map((text) => text.replace(/\r\n/g, "\n"));
  const changed = correction.trim() && correction.trim() !== content.trim();
  return { correction: changed ? correction : "", comment: comment.trim() };
}

let pendingKey = null;

/** Ask for the API key and store it; resolve to false if cancelled. Concurrent calls share one dialog. */
export function askKey() {
  const title = store.key() ? "The API key was rejected" : "This server requires an API key";
  document.getElementById("key-title").textContent = title;
  pendingKey ??= showDialog("key", { key: "" }).then((values) => {
    pendingKey = null;
    if (values) store.saveKey(values.key.trim());
    return values !== null;
  });
  return pendingKey;
}

// Enter in a field would press the first submit button, "Cancel"; press the main one instead.
for (const form of document.querySelectorAll("dialog form")) {
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.target.tagName !== "INPUT" || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit(form.querySelector("button.main"));
  });
}

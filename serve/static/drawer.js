// The list of conversations; on narrow screens it is a drawer.

import * as chat from "./chat.js";
import { iconButton } from "./messages.js";

const drawer = document.getElementById("drawer");
const list = document.getElementById("conversations");
const menu = document.getElementById("menu");
const backdrop = document.getElementById("backdrop");
const narrow = matchMedia("(max-width: 760px)");

/** Render the list; a click calls `open(conversation)` or `removed(conversation, undo)`. */
export function showList(current, open, removed) {
  const focused = list.contains(document.activeElement) && document.activeElement.closest("li")?.dataset.id;
  list.replaceChildren(...chat.all.map((conversation) => entry(conversation, current, open, removed)));
  if (focused) list.querySelector(`li[data-id="${CSS.escape(focused)}"] button`)?.focus();
}

function entry(conversation, current, open, removed) {
  const item = document.createElement("li");
  item.dataset.id = conversation.id;
  const title = document.createElement("button");
  title.type = "button";
  title.className = "title";
  title.dir = "auto";
  title.textContent = conversation.title;
  title.title = conversation.title;
  if (conversation === current) title.setAttribute("aria-current", "true");
  title.addEventListener("click", () => open(conversation));
  const rename = iconButton("rename", `Rename ${conversation.title}`, "i-pen");
  rename.addEventListener("click", () => edit(item, conversation, () => open(current, { stay: true })));
  const bin = iconButton("delete", `Delete ${conversation.title}`, "i-bin");
  bin.addEventListener("click", () => removed(conversation, chat.remove(conversation)));
  item.append(title, rename, bin);
  return item;
}

/** Replace the title by a text field: Enter saves, Escape cancels. */
function edit(item, conversation, done) {
  const field = document.createElement("input");
  field.value = conversation.title;
  field.maxLength = 200;
  field.setAttribute("aria-label", "Title of the conversation");
  let ended = false;
  const end = (save) => {
    if (ended) return;
    ended = true;
    if (save) chat.rename(conversation, field.value);
    done();
    list.querySelector(`li[data-id="${CSS.escape(conversation.id)}"] .title`)?.focus();
  };
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) end(true);
    if (event.key === "Escape") end(false);
    event.stopPropagation();
  });
  field.addEventListener("blur", () => end(true));
  item.replaceChildren(field);
  field.select();
}

/** Open or close the drawer; on wide screens the list is always visible. */
export function toggleDrawer(opened) {
  const overlay = narrow.matches && opened;
  drawer.classList.toggle("open", overlay);
  drawer.inert = narrow.matches && !opened;
  document.getElementById("main").inert = overlay;
  backdrop.hidden = !overlay;
  menu.setAttribute("aria-expanded", String(overlay));
  if (overlay) document.getElementById("new").focus();
}

/** Connect the drawer's controls. */
export function startDrawer() {
  const close = () => {
    if (backdrop.hidden) return;
    toggleDrawer(false);
    menu.focus();
  };
  menu.addEventListener("click", () => toggleDrawer(true));
  backdrop.addEventListener("click", close);
  drawer.addEventListener("keydown", (event) => event.key === "Escape" && close());
  narrow.addEventListener("change", () => toggleDrawer(false));
  toggleDrawer(false);
}

// The list of conversations, and on narrow screens the drawer that it lies in.

import * as chat from "./chat.js";
import { iconButton } from "./messages.js";

const drawer = document.getElementById("drawer");
const list = document.getElementById("conversations");
const menu = document.getElementById("menu");
const backdrop = document.getElementById("backdrop");
const narrow = matchMedia("(max-width: 760px)");

/** Draw the list; `open(conversation)` and `removed(conversation, undo)` are called when that is asked for. */
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

/** A field in the place of the title: Enter keeps, Escape does not. */
function edit(item, conversation, done) {
  const field = document.createElement("input");
  field.value = conversation.title;
  field.maxLength = 200;
  field.setAttribute("aria-label", "Title of the conversation");
  let ended = false;
  const end = (kept) => {
    if (ended) return;
    ended = true;
    if (kept) chat.rename(conversation, field.value);
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

/** Open or close the drawer; on a wide screen the list always stands open. */
export function toggleDrawer(opened) {
  const covers = narrow.matches && opened;
  drawer.classList.toggle("open", covers);
  drawer.inert = narrow.matches && !opened;
  document.getElementById("main").inert = covers;
  backdrop.hidden = !covers;
  menu.setAttribute("aria-expanded", String(covers));
  if (covers) document.getElementById("new").focus();
}

/** Wire the drawer's own controls. */
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

// DOM nodes of messages: text, actions, and a note on how an answer ended.

import { render } from "./markdown.js";

const SVG = "http://www.w3.org/2000/svg";

const NOTES = {
  length: "The answer reached the maximum length.",
  content_filter: "The server’s safety filter ended this answer.",
  stopped: "Stopped.",
  lost: "This answer is incomplete.",
};
const UNFINISHED = ["length", "stopped", "lost"];

/** Return the node of a message. */
export function messageNode(message) {
  const node = document.createElement("article");
  node.className = message.role;
  node.setAttribute("aria-label", message.role === "user" ? "You" : "Answer");
  const body = document.createElement("div");
  body.className = "body";
  body.dir = "auto";
  node.append(body);
  if (message.role === "user") body.textContent = message.content;
  else node.append(note(), actions());
  show(node, message);
  return node;
}

/** Update the node of an answer. */
export function show(node, message, { busy = false, last = false, feedback = false } = {}) {
  if (message.role === "user") return;
  const [body, ending, bar] = node.children;
  node.classList.toggle("busy", busy);
  node.setAttribute("aria-busy", String(busy));
  render(body, message.content);
  const empty = message.finish && !message.content ? "The answer is empty." : "";
  const [text, more] = ending.children;
  text.textContent = busy ? "" : (NOTES[message.finish] ?? empty) + (message.reason ?? "");
  more.hidden = !last || !message.content || !UNFINISHED.includes(message.finish);
  ending.hidden = !text.textContent;
  bar.hidden = busy;
  const ratable = feedback && Boolean(message.response);
  for (const button of bar.children) {
    const { action } = button.dataset;
    button.hidden = action === "again" ? !last : action === "copy" ? !message.content : !ratable;
    if (action === "up" || action === "down") button.setAttribute("aria-pressed", String(message.rating === action));
    if (action === "correct") button.setAttribute("aria-pressed", String(Boolean(message.corrected)));
  }
}

/** Return a note on how an answer ended, with a button that continues it. */
function note() {
  const node = document.createElement("p");
  node.className = "note";
  const more = document.createElement("button");
  more.type = "button";
  more.className = "plain";
  more.dataset.action = "more";
  more.textContent = "Continue";
  node.append(document.createElement("span"), more);
  return node;
}

function actions() {
  const bar = document.createElement("div");
  bar.className = "bar";
  bar.append(
    iconButton("copy", "Copy", "i-copy"),
    iconButton("up", "Good answer", "i-like"),
    iconButton("down", "Bad answer", "i-dislike"),
    iconButton("correct", "Correct this answer", "i-pen"),
    iconButton("again", "Regenerate", "i-again"),
  );
  return bar;
}

/** Return a button with an icon; its label is the accessible name and the tooltip. */
export function iconButton(action, label, icon) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "icon small";
  button.dataset.action = action;
  button.setAttribute("aria-label", label);
  button.title = label;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "use"));
  button.append(svg);
  setIcon(button, icon);
  return button;
}

export function setIcon(button, icon) {
  button.querySelector("use").setAttribute("href", `#${icon}`);
}

/** Copy text to the clipboard; the fallback works on pages without a secure context. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

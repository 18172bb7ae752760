// The messages of a conversation as nodes: bubbles, answers with their actions, notes on how they ended.

import { render } from "./markdown.js";

const SVG = "http://www.w3.org/2000/svg";

const NOTES = {
  length: "The answer reached its greatest length.",
  content_filter: "The safety filter of this server ended this answer.",
  stopped: "Stopped.",
  lost: "This answer is incomplete.",
};

/** The node of one message. Actions, for an answer: `{name: label}` of those that it offers. */
export function messageNode(message) {
  const node = document.createElement("article");
  node.className = message.role;
  node.setAttribute("aria-label", message.role === "user" ? "You" : "Answer");
  const body = document.createElement("div");
  body.className = "body";
  body.dir = "auto";
  node.append(body);
  if (message.role === "user") body.textContent = message.content;
  else node.append(document.createElement("p"), actions());
  show(node, message);
  return node;
}

/** Bring an answer's node up to date. */
export function show(node, message, { busy = false, last = false, feedback = false } = {}) {
  if (message.role === "user") return;
  const [body, note, bar] = node.children;
  node.classList.toggle("busy", busy);
  node.setAttribute("aria-busy", String(busy));
  render(body, message.content);
  note.className = "note";
  const empty = message.finish && !message.content ? "The answer is empty." : "";
  note.textContent = busy ? "" : (NOTES[message.finish] ?? empty);
  note.hidden = !note.textContent;
  bar.hidden = busy;
  const rated = feedback && Boolean(message.response);
  for (const button of bar.children) {
    const { action } = button.dataset;
    button.hidden = action === "again" ? !last : action === "copy" ? !message.content : !rated;
    if (action === "up" || action === "down") button.setAttribute("aria-pressed", String(message.rating === action));
    if (action === "correct") button.setAttribute("aria-pressed", String(Boolean(message.corrected)));
  }
}

function actions() {
  const bar = document.createElement("div");
  bar.className = "bar";
  bar.append(
    iconButton("copy", "Copy", "i-copy"),
    iconButton("up", "Good answer", "i-like"),
    iconButton("down", "Bad answer", "i-dislike"),
    iconButton("correct", "Correct this answer", "i-pen"),
    iconButton("again", "Answer again", "i-again"),
  );
  return bar;
}

/** A button with a symbol; its label is read out, and shown when pointed at. */
export function iconButton(action, label, symbol) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "icon small";
  button.dataset.action = action;
  button.setAttribute("aria-label", label);
  button.title = label;
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("aria-hidden", "true");
  picture.append(document.createElementNS(SVG, "use"));
  button.append(picture);
  setSymbol(button, symbol);
  return button;
}

export function setSymbol(button, symbol) {
  button.querySelector("use").setAttribute("href", `#${symbol}`);
}

/** Put text on the clipboard; also where the page is not served securely and the new way is closed. */
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

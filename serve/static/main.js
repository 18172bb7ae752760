// The page: rendering, and handlers of user actions.

import * as api from "./api.js";
import * as chat from "./chat.js";
import { askCorrection, askKey, editSettings } from "./dialogs.js";
import { showList, startDrawer, toggleDrawer } from "./drawer.js";
import { copyText, messageNode, setIcon, show } from "./messages.js";
import * as store from "./store.js";

const $ = (id) => document.getElementById(id);
const NAMES = ["composer", "message", "messages", "notice", "scroller", "toast"];
const [composer, field, messages, notice, scroller, toast] = NAMES.map($);
const FOLLOW_DISTANCE = 80; // pixels from the end within which the page scrolls with an answer
const touch = matchMedia("(pointer: coarse)");

let current = null; // the open conversation; null: a new one
let feedback = false; // true if the server stores feedback
let follow = true; // true while the page scrolls with the answer

// ---- rendering ----

function open(conversation, { stay = false } = {}) {
  current = conversation;
  messages.replaceChildren(...(conversation?.messages ?? []).map(messageNode));
  messages.childNodes.forEach((_, index) => refresh(index));
  $("welcome").hidden = Boolean(conversation);
  $("title").textContent = conversation?.title ?? "New chat";
  document.title = conversation ? `${conversation.title} · Gristmill` : "Gristmill";
  if (conversation) history.replaceState(null, "", `#${conversation.id}`);
  else history.replaceState(null, "", location.pathname);
  showList(current, pick, removed);
  showControls();
  if (stay) return;
  follow = true;
  toEnd();
}

function pick(conversation, options) {
  if (!options?.stay) {
    hideNotice();
    toggleDrawer(false);
  }
  open(conversation, options);
  if (!options?.stay && !touch.matches) field.focus();
}

function removed(conversation, undo) {
  if (conversation === current) open(null);
  else open(current, { stay: true });
  showToast(`“${conversation.title}” was deleted.`, "Undo", () => {
    undo();
    open(conversation);
  });
}

function refresh(index) {
  const message = current.messages[index];
  const last = index === current.messages.length - 1;
  const busy = last && chat.isRunning(current);
  show(messages.children[index], message, { busy, last: last && !busy, feedback });
}

function showControls() {
  const busy = chat.isRunning(current);
  $("send").hidden = busy;
  $("stop").hidden = !busy;
  $("send").disabled = !field.value.trim();
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

function toEnd() {
  if (follow) scroller.scrollTop = scroller.scrollHeight;
}

function showNotice(text, label = "", action = null) {
  const [paragraph, button] = notice.children;
  paragraph.textContent = text;
  button.textContent = label;
  button.hidden = !action;
  button.onclick = () => {
    hideNotice();
    action();
  };
  notice.hidden = false;
  toast.hidden ||= toast.lastElementChild.hidden; // a toast without an action must not cover the notice
}

function hideNotice() {
  notice.hidden = true;
}

let toastTimer = 0;

function showToast(text, label = "", action = null) {
  const [paragraph, button] = toast.children;
  paragraph.textContent = text;
  button.textContent = label;
  button.hidden = !action;
  button.onclick = () => {
    toast.hidden = true;
    action();
  };
  toast.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => (toast.hidden = true), action ? 8000 : 2500);
}

// ---- conversation ----

/** Call the server; if it requires an API key, ask for one and try again. */
async function withKey(action) {
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (error.status !== 401) throw error;
      if (!(await askKey())) throw error;
    }
  }
}

async function connect() {
  const models = await withKey(api.models);
  const choice = $("model");
  choice.replaceChildren(...models.map(({ id }) => new Option(id, id)));
  $("model-choice").hidden = !models.length;
  choice.disabled = models.length < 2;
  if (models.length && !models.some(({ chat }) => chat))
    showNotice("This is a base model, which cannot chat: it has no chat template and only continues text, at v1/completions.");
  const stored = await api.stored().catch(() => ({}));
  feedback = stored.kept === true;
  if (stored.conversations === true) $("privacy").textContent = "This server stores all conversations.";
  if (current) open(current, { stay: true });
}

async function modelName() {
  if (!$("model").value) await connect();
  return $("model").value;
}

/** Connect when the page opens; wait for a server that is loading its model. */
async function start() {
  for (let waiting = false; ; waiting = true) {
    try {
      await connect();
      if (waiting) hideNotice();
      return;
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
      if (error.status !== 503) return void showNotice(error.message, "Try again", start);
      if (!waiting) showNotice("The server is loading its model …");
      await new Promise((done) => setTimeout(done, 2000));
    }
  }
}

function send(text) {
  if (!text.trim() || chat.isRunning(current)) return;
  hideNotice();
  field.value = "";
  const conversation = chat.ask(text, current);
  open(conversation);
  if (!touch.matches) field.focus();
  const undo = () => {
    const question = chat.removeQuestion(conversation);
    const rest = chat.all.includes(conversation) ? conversation : null;
    if (current === conversation) {
      open(rest);
      field.value ||= question;
    }
    return () => {
      open(rest);
      send(question);
    };
  };
  answerIn(conversation, undo);
}

function regenerate() {
  if (!current || chat.isRunning(current)) return;
  hideNotice();
  const conversation = current;
  const restore = chat.clearAnswer(conversation);
  open(conversation);
  const undo = () => {
    restore();
    if (current === conversation) open(conversation);
    return () => {
      open(conversation);
      regenerate();
    };
  };
  answerIn(conversation, undo, true);
}

/** Continue the last answer, which has not come to its end. */
function continueAnswer() {
  if (!current || chat.isRunning(current)) return;
  hideNotice();
  answerIn(current);
}

/** Stream and show an answer. If it fails without text, `undo` removes it and returns a function that retries. */
async function answerIn(conversation, undo = null, regenerating = false) {
  const message = conversation.messages.at(-1);
  const changed = scheduleRender(conversation);
  $("status").textContent = "Answering";
  try {
    const ended = withKey(() => chat.run(conversation, modelName, changed, regenerating));
    // The conversation is running now: show its answer as busy at once, not with the next frame.
    refresh(conversation.messages.length - 1);
    showControls();
    await ended;
    if (current !== conversation) return;
    refresh(conversation.messages.length - 1);
    $("status").textContent = messages.lastElementChild.querySelector(".body").textContent;
  } catch (error) {
    $("status").textContent = "";
    if (!(error instanceof api.ApiError)) throw error;
    const retry = message.content ? null : undo();
    const seconds = error.retryAfter;
    const wait = seconds ? ` Try again in ${seconds} second${seconds === 1 ? "" : "s"}.` : "";
    const retryable = [0, 401, 429].includes(error.status) || error.status >= 500;
    showNotice(error.message + wait, "Try again", retryable ? retry : null);
  } finally {
    if (!chat.save(conversation)) showNotice("The browser's storage is full: this conversation is not saved. Delete other conversations.");
    if (current === conversation) showList(current, pick, removed);
    showControls();
  }
}

/** Return a function that renders the last message in the next frame, less often if rendering is slow. */
function scheduleRender(conversation) {
  let waiting = false;
  let pause = 0;
  const render = () => {
    waiting = false;
    if (current !== conversation || !conversation.messages.length) return;
    const started = performance.now();
    refresh(conversation.messages.length - 1);
    toEnd();
    showControls();
    pause = (performance.now() - started) * 4;
  };
  return () => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => requestAnimationFrame(render), pause > 30 ? pause : 0);
  };
}

const ACTIONS = {
  again: regenerate,
  more: continueAnswer,
  copy: async (message, button) => {
    await copyText(message.content);
    setIcon(button, "i-check");
    $("status").textContent = "Copied";
    setTimeout(() => setIcon(button, "i-copy"), 1500);
  },
  up: (message) => rate(message, { rating: "up" }),
  down: async (message) => {
    if (await rate(message, { rating: "down" })) await correct(message);
  },
  correct,
};

async function correct(message) {
  const corrected = await askCorrection(message.corrected ?? message.content);
  if (!corrected || !(corrected.correction || corrected.comment)) return;
  const fields = Object.fromEntries(Object.entries(corrected).filter(([, text]) => text));
  await rate(message, { rating: message.rating ?? "down", ...fields });
}

async function rate(message, fields) {
  const conversation = current;
  try {
    // The server stores a conversation only once it is rated, and remembers only the latest ones until then.
    const said = { messages: chat.messagesBefore(conversation, message), answer: message.content };
    await withKey(() => api.rate({ response_id: message.response, ...fields, ...said }));
  } catch (error) {
    if (!(error instanceof api.ApiError)) throw error;
    showNotice(error.message);
    return false;
  }
  message.rating = fields.rating;
  if (fields.correction) message.corrected = fields.correction;
  chat.save(conversation);
  if (current === conversation) refresh(conversation.messages.indexOf(message));
  showToast("Thank you.");
  return true;
}

// ---- event handlers ----

addEventListener("pagehide", () => chat.all.filter(chat.isRunning).forEach(chat.save));

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  send(field.value);
});
field.addEventListener("input", showControls);
field.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || touch.matches) return;
  event.preventDefault();
  send(field.value);
});
$("stop").addEventListener("click", () => {
  chat.stop(current);
  field.focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) chat.stop(current);
});
$("new").addEventListener("click", () => pick(null));
$("open-settings").addEventListener("click", editSettings);
$("latest").addEventListener("click", () => {
  follow = true;
  toEnd();
});
notice.lastElementChild.addEventListener("click", hideNotice);
scroller.addEventListener("scroll", () => {
  follow = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < FOLLOW_DISTANCE;
  $("latest").hidden = follow;
});
for (const starter of $("starters").children) starter.addEventListener("click", () => send(starter.textContent));
messages.addEventListener("click", async ({ target }) => {
  const button = target.closest("button");
  if (button?.className === "copy-code") {
    await copyText(button.closest("figure").querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  } else if (button) {
    const index = [...messages.children].indexOf(button.closest("article"));
    await ACTIONS[button.dataset.action](current.messages[index], button);
  }
});

const THEMES = ["system", "light", "dark"];

function showTheme() {
  $("theme").querySelector("span").textContent = `Theme: ${document.documentElement.dataset.theme}`;
}

$("theme").addEventListener("click", () => {
  const { dataset } = document.documentElement;
  dataset.theme = THEMES[(THEMES.indexOf(dataset.theme) + 1) % THEMES.length];
  store.saveTheme(dataset.theme);
  showTheme();
});

store.onChange((id) => {
  const found = chat.reload(id);
  if (current?.id === id) open(found, { stay: true });
  else showList(current, pick, removed);
});

showTheme();
startDrawer();
open(chat.all.find(({ id }) => id === location.hash.slice(1)) ?? null);
start();

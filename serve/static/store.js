// What this browser keeps: conversations, settings, and for as long as the tab lives the key.
//
// One entry a conversation, so that a long history is not written anew with every answer. Storage may be
// full, forbidden or filled by somebody else: then the page goes on without it.

const PREFIX = "gristmill.conversation.";
const SETTINGS = "gristmill.settings";
const CALM = "0"; // the temperature until one is set: small models ramble at more
const KEY = "gristmill.key";

/** All conversations, the latest first: `{id, title, updated, messages}`. */
export function conversations() {
  const names = attempt(() => Object.keys(localStorage).filter((name) => name.startsWith(PREFIX)), []);
  const found = names.map((name) => load(name.slice(PREFIX.length))).filter(Boolean);
  return found.sort((one, other) => other.updated - one.updated);
}

/** One conversation; null if it is not there, or is not one. */
export function load(id) {
  const found = attempt(() => JSON.parse(localStorage.getItem(PREFIX + id)), null);
  const whole =
    Array.isArray(found?.messages) &&
    found.messages.every((turn) => ["user", "assistant"].includes(turn?.role) && typeof turn.content === "string");
  if (!whole) return null;
  return { id, title: String(found.title ?? ""), updated: Number(found.updated) || 0, messages: found.messages };
}

/** Keep a conversation; false if the browser has no room for it. */
export function save({ id, ...rest }) {
  return attempt(() => (localStorage.setItem(PREFIX + id, JSON.stringify(rest)), true), false);
}

export function remove(id) {
  attempt(() => localStorage.removeItem(PREFIX + id));
}

/** `{system, temperature, max_tokens}`, each "" where the server's default holds. */
export function settings() {
  const found = attempt(() => JSON.parse(localStorage.getItem(SETTINGS)), null);
  return { system: "", temperature: CALM, max_tokens: "", ...found };
}

export function saveSettings(value) {
  return attempt(() => (localStorage.setItem(SETTINGS, JSON.stringify(value)), true), false);
}

export function key() {
  return attempt(() => sessionStorage.getItem(KEY), null) ?? "";
}

export function saveKey(value) {
  attempt(() => sessionStorage.setItem(KEY, value));
}

export function saveTheme(value) {
  attempt(() => localStorage.setItem("gristmill.theme", value));
}

/** Call `then(id)` when another tab changes a conversation. */
export function onChange(then) {
  addEventListener("storage", ({ key: name }) => name?.startsWith(PREFIX) && then(name.slice(PREFIX.length)));
}

function attempt(action, otherwise) {
  try {
    return action();
  } catch {
    return otherwise;
  }
}

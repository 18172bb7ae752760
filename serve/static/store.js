// Browser storage: conversations and settings in localStorage, the API key in sessionStorage.
//
// Each conversation is one entry, so that an answer does not rewrite the whole history. The storage may be full,
// disabled or contain invalid entries; the page then works without it.

const PREFIX = "gristmill.conversation.";
const SETTINGS = "gristmill.settings";
const DEFAULT_TEMPERATURE = "0"; // small models lose the thread at higher temperatures
const KEY = "gristmill.key";

/** Return all conversations, latest first: `{id, title, updated, messages}`. */
export function conversations() {
  const names = attempt(() => Object.keys(localStorage).filter((name) => name.startsWith(PREFIX)), []);
  const found = names.map((name) => load(name.slice(PREFIX.length))).filter(Boolean);
  return found.sort((one, other) => other.updated - one.updated);
}

/** Return a conversation; null if it is missing or invalid. */
export function load(id) {
  const found = attempt(() => JSON.parse(localStorage.getItem(PREFIX + id)), null);
  const valid =
    Array.isArray(found?.messages) &&
    found.messages.every((message) => ["user", "assistant"].includes(message?.role) && typeof message.content === "string");
  if (!valid) return null;
  return { id, title: String(found.title ?? ""), updated: Number(found.updated) || 0, messages: found.messages };
}

/** Store a conversation; return false if the storage is full. */
export function save({ id, ...rest }) {
  return attempt(() => (localStorage.setItem(PREFIX + id, JSON.stringify(rest)), true), false);
}

export function remove(id) {
  attempt(() => localStorage.removeItem(PREFIX + id));
}

/** Return `{system, temperature, max_tokens}`; "" selects the server's default. */
export function settings() {
  const found = attempt(() => JSON.parse(localStorage.getItem(SETTINGS)), null);
  return { system: "", temperature: DEFAULT_TEMPERATURE, max_tokens: "", ...found };
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

/** Call `callback(id)` when another tab changes a conversation. */
export function onChange(callback) {
  addEventListener("storage", ({ key: name }) => name?.startsWith(PREFIX) && callback(name.slice(PREFIX.length)));
}

/** Return the result of `action`, or `fallback` if the storage throws. */
function attempt(action, fallback) {
  try {
    return action();
  } catch {
    return fallback;
  }
}

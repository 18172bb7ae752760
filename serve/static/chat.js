// The conversations and the answers that are on their way; knows nothing of the page that shows them.
//
// A conversation always alternates: a question that the server refuses is taken back, never left unanswered.

import { answer } from "./api.js";
import * as store from "./store.js";

const SAVED_EVERY = 1000; // milliseconds, while an answer streams
const TITLE = 60; // characters
const VARIED = 0.5; // the least temperature when asked again; at 0 the answer would be the same
const TOP_P = 0.9; // of the next word's chances; what is left out is seldom meant

/** Every conversation, the latest first. */
export const all = store.conversations();

const running = new Map(); // id of a conversation -> the AbortController of its answer

export function isRunning(conversation) {
  return running.has(conversation?.id);
}

export function stop(conversation) {
  running.get(conversation?.id)?.abort();
}

export function rename(conversation, title) {
  conversation.title = title.trim().slice(0, 200) || conversation.title;
  return store.save(conversation);
}

/** Take a conversation out; what is returned puts it back. */
export function remove(conversation) {
  stop(conversation);
  all.splice(all.indexOf(conversation), 1);
  store.remove(conversation.id);
  return () => {
    all.push(conversation);
    sort();
    store.save(conversation);
  };
}

/** Ask in `conversation`, or in a new one when there is none; the conversation, with the answer to come. */
export function ask(text, conversation) {
  const id = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const title = text.trim().split("\n")[0];
  const asked = conversation ?? {
    id,
    title: title.length > TITLE ? `${title.slice(0, TITLE).trimEnd()}…` : title,
    messages: [],
  };
  if (!conversation) all.push(asked);
  asked.messages.push({ role: "user", content: text }, { role: "assistant", content: "", finish: "" });
  touch(asked);
  return asked;
}

/** Take the last question back, after a refusal. */
export function takeBack(conversation) {
  const [question] = conversation.messages.splice(-2);
  if (conversation.messages.length) store.save(conversation);
  else if (all.includes(conversation)) remove(conversation);
  return question.content;
}

/** Clear the last answer for another one; what is returned puts the old one back. */
export function clearAnswer(conversation) {
  const [old] = conversation.messages.splice(-1, 1, { role: "assistant", content: "", finish: "" });
  return () => {
    conversation.messages.splice(-1, 1, old);
    store.save(conversation);
  };
}

/**
 * Stream the answer of `await model()` into the last message of `conversation`; `changed()` after every piece.
 * `again`: not the answer that was given before.
 *
 * Resolves when it has ended or was stopped; throws the Refusal after which nothing came, or which cut the
 * answer short (then `finish` is "lost" and what came is kept).
 */
export async function run(conversation, model, changed, again) {
  const controller = new AbortController();
  const message = conversation.messages.at(-1);
  let saved = Date.now();
  running.set(conversation.id, controller);
  message.finish = "lost";
  changed();
  try {
    const body = request(conversation, await model(), again);
    for await (const { id, text, finish } of answer(body, controller.signal)) {
      if (id) message.response = String(id);
      message.content += text;
      if (finish) message.finish = finish;
      if (Date.now() - saved > SAVED_EVERY) {
        keep(conversation);
        saved = Date.now();
      }
      changed();
    }
  } catch (error) {
    if (!controller.signal.aborted) throw error;
    message.finish = "stopped";
  } finally {
    running.delete(conversation.id);
    touch(conversation);
    changed();
  }
}

/** The body of a request: the turns so far without those that stayed unanswered, and the settings. */
function request(conversation, model, again) {
  const { system, temperature, max_tokens } = store.settings();
  const turns = conversation.messages.map(({ role, content }) => ({ role, content }));
  const history = turns.slice(0, -1).filter((turn, place) => {
    const reply = turn.role === "user" ? turns[place + 1] : turn;
    return reply.content || place === turns.length - 2;
  });
  const opening = system.trim() ? [{ role: "system", content: system }] : [];
  const body = { model, top_p: TOP_P, messages: [...opening, ...history] };
  if (temperature !== "") body.temperature = Math.max(Number(temperature), again ? VARIED : 0);
  if (max_tokens !== "") body.max_tokens = Number(max_tokens);
  return body;
}

/** Keep a change of a conversation, unless it was deleted meanwhile; false if there is no room. */
export function keep(conversation) {
  return !all.includes(conversation) || store.save(conversation);
}

function touch(conversation) {
  conversation.updated = Date.now();
  sort();
  keep(conversation);
}

function sort() {
  all.sort((one, other) => other.updated - one.updated);
}

/** Take over what another tab changed; the conversation as it is now, or null. */
export function reload(id) {
  const place = all.findIndex((one) => one.id === id);
  if (place >= 0 && isRunning(all[place])) return all[place];
  const found = store.load(id);
  if (place >= 0) all.splice(place, 1);
  if (found) all.push(found);
  sort();
  return found;
}

// Conversations and running answers, independent of the page that shows them.
//
// Questions and answers alternate: a question that the server rejects is removed.

import { answer } from "./api.js";
import * as store from "./store.js";

const SAVE_INTERVAL = 1000; // milliseconds, while an answer streams
const TITLE_LENGTH = 60; // characters
const REGENERATE_TEMPERATURE = 0.5; // minimum when regenerating; at 0 the answer would be the same
const TOP_P = 0.9; // leave out unlikely tokens

/** All conversations, latest first. */
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

/** Delete a conversation; return a function that restores it. */
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

/** Add a question and an empty answer to `conversation`, or to a new one; return the conversation. */
export function ask(text, conversation) {
  const id = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const title = text.trim().split("\n")[0];
  const target = conversation ?? {
    id,
    title: title.length > TITLE_LENGTH ? `${title.slice(0, TITLE_LENGTH).trimEnd()}…` : title,
    messages: [],
  };
  if (!conversation) all.push(target);
  target.messages.push({ role: "user", content: text }, { role: "assistant", content: "", finish: "" });
  touch(target);
  return target;
}

/** Remove the last question and its answer, after an error; return the question. */
export function removeQuestion(conversation) {
  const [question] = conversation.messages.splice(-2);
  if (conversation.messages.length) store.save(conversation);
  else if (all.includes(conversation)) remove(conversation);
  return question.content;
}

/** Clear the last answer; return a function that restores it. */
export function clearAnswer(conversation) {
  const [old] = conversation.messages.splice(-1, 1, { role: "assistant", content: "", finish: "" });
  return () => {
    conversation.messages.splice(-1, 1, old);
    store.save(conversation);
  };
}

/**
 * Stream the answer of `await model()` into the last message of `conversation`; call `changed()` after each chunk.
 * `regenerate`: vary the answer. A message that has text already is continued.
 *
 * Resolves when the answer has ended or was stopped. Throws the ApiError that prevented or interrupted it; an
 * interrupted answer keeps its text, with `finish` "lost".
 */
export async function run(conversation, model, changed, regenerate) {
  const controller = new AbortController();
  const message = conversation.messages.at(-1);
  let saved = Date.now();
  running.set(conversation.id, controller);
  message.finish = "lost";
  changed();
  try {
    const body = request(conversation, await model(), regenerate);
    for await (const { id, text, finish, reason } of answer(body, controller.signal)) {
      if (id) message.response = String(id);
      message.content += text;
      if (finish) Object.assign(message, { finish, reason });
      if (Date.now() - saved > SAVE_INTERVAL) {
        save(conversation);
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

/** Return the messages before `answer` as they are sent: without unanswered questions, with the system prompt. */
export function messagesBefore(conversation, answer) {
  const { system } = store.settings();
  const end = conversation.messages.indexOf(answer);
  const messages = conversation.messages.slice(0, end + 1).map(({ role, content }) => ({ role, content }));
  const history = messages.slice(0, end).filter((message, index) => {
    const reply = message.role === "user" ? messages[index + 1] : message;
    return reply.content || index === end - 1;
  });
  return system.trim() ? [{ role: "system", content: system }, ...history] : history;
}

/** Return the body of a request for the last message. */
function request(conversation, model, regenerate) {
  const { temperature, max_tokens } = store.settings();
  const { role, content } = conversation.messages.at(-1);
  const body = { model, top_p: TOP_P, messages: messagesBefore(conversation, conversation.messages.at(-1)) };
  if (content) {
    body.messages.push({ role, content });
    Object.assign(body, { continue_final_message: true, add_generation_prompt: false });
  }
  if (temperature !== "") body.temperature = Math.max(Number(temperature), regenerate ? REGENERATE_TEMPERATURE : 0);
  if (max_tokens !== "") body.max_tokens = Number(max_tokens);
  return body;
}

/** Store a conversation unless it was deleted; return false if the storage is full. */
export function save(conversation) {
  return !all.includes(conversation) || store.save(conversation);
}

function touch(conversation) {
  conversation.updated = Date.now();
  sort();
  save(conversation);
}

function sort() {
  all.sort((one, other) => other.updated - one.updated);
}

/** Load a conversation that another tab changed; return it, or null if it was deleted. */
export function reload(id) {
  const index = all.findIndex((one) => one.id === id);
  if (index >= 0 && isRunning(all[index])) return all[index];
  const found = store.load(id);
  if (index >= 0) all.splice(index, 1);
  if (found) all.push(found);
  sort();
  return found;
}

// Client of the server's API: models, streamed answers, feedback. Errors have messages for users.

import { key } from "./store.js";

/** An error: message, HTTP status (0: no response), code, and the seconds after which to retry. */
export class ApiError extends Error {
  constructor(message, { status = 0, code = "", retryAfter = 0 } = {}) {
    super(message);
    Object.assign(this, { status, code, retryAfter });
  }
}

/** Return the server's models: `{id, chat}`; `chat` is false for a base model, which only continues text. */
export async function models() {
  const { data } = await (await call("v1/models")).json();
  return data.map(({ id, chat }) => ({ id: String(id), chat: chat !== false }));
}

/** Return what the server stores: `{kept, conversations}`, true for feedback and for all conversations. */
export async function stored() {
  return (await call("v1/feedback")).json();
}

/** Send feedback: `{response_id, rating, correction?, comment?, messages, answer}`. */
export async function rate(feedback) {
  await call("v1/feedback", feedback);
}

/** Stream the answer to `request`: yield `{id, text, finish, reason}`. `signal` aborts it. */
export async function* answer(request, signal) {
  const response = await call("v1/chat/completions", { ...request, stream: true }, signal);
  let finished = false;
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return;
    const chunk = parse(data);
    if (chunk.error) throw errorFrom(response.status, chunk.error, 0);
    const choice = chunk.choices?.[0];
    if (!choice) continue;
    finished ||= Boolean(choice.finish_reason);
    const text = choice.delta?.content ?? "";
    yield { id: chunk.id, text, finish: choice.finish_reason ?? "", reason: reason(choice.content_filter) };
  }
  if (!finished) throw new ApiError("The connection was lost before the answer was complete.");
}

/** Yield the data of server-sent events. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error) => {
        throw error.name === "AbortError" ? error : new ApiError("The connection to the server was lost.");
      });
      if (done) return;
      const lines = (buffer + value).split(/\r?\n/);
      buffer = lines.pop();
      for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parse(data) {
  try {
    return JSON.parse(data);
  } catch {
    throw new ApiError("The server sent an invalid response.");
  }
}

async function call(path, body, signal) {
  const headers = key() ? { Authorization: `Bearer ${key()}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server cannot be reached. Is it still running?");
  }
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({}));
  throw errorFrom(response.status, error, Number(response.headers.get("Retry-After")) || 0);
}

const CODES = {
  content_filter: "The server’s safety filter rejected this message.",
  context_length_exceeded: "This conversation is longer than the model’s context. Start a new chat or shorten the message.",
  feedback_off: "This server does not store feedback.",
  response_not_found: "The server does not know this answer any more.",
};

const STATUSES = {
  401: "The server requires a valid API key.",
  413: "This message is larger than the server accepts.",
  429: "The server is busy.",
  503: "The server is starting or shutting down.",
};

/** Return the rule and category of a refusal by the safety filter, for display; empty if there is none. */
function reason(refusal) {
  const { rule, category } = refusal ?? {};
  return typeof rule === "string" && typeof category === "string" ? ` Rule: ${rule}, category: ${category}.` : "";
}

function errorFrom(status, error, retryAfter) {
  const code = String(error?.code ?? "");
  const detail = typeof error?.message === "string" ? error.message.slice(0, 500) : "";
  const known = CODES[code] ?? STATUSES[status];
  const because = reason(error);
  const message = known ? known + because : (detail ? `Error from the server: ${detail}` : `The server returned an error (${status}).`);
  return new ApiError(message, { status, code, retryAfter });
}

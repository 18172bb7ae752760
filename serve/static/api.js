// The server's API: models, streamed answers, feedback; every refusal as a sentence for people.

import { key } from "./store.js";

/** A refusal: its sentence, HTTP status (0: not reached), code, and the seconds after which to try again. */
export class Refusal extends Error {
  constructor(message, { status = 0, code = "", after = 0 } = {}) {
    super(message);
    Object.assign(this, { status, code, after });
  }
}

/** Ids of the models that the server offers. */
export async function models() {
  const { data } = await (await call("/v1/models")).json();
  return data.map(({ id }) => String(id));
}

/** Whether the server keeps feedback. */
export async function keepsFeedback() {
  return (await (await call("/v1/feedback")).json()).kept === true;
}

/** Send feedback: `{response_id, rating, correction?, comment?}`. */
export async function rate(feedback) {
  await call("/v1/feedback", feedback);
}

/** Stream the answer to `request`: yields `{id, text, finish}`, each as it comes. Ends by `signal`. */
export async function* answer(request, signal) {
  const response = await call("/v1/chat/completions", { ...request, stream: true }, signal);
  let finished = false;
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return;
    const chunk = parse(data);
    if (chunk.error) throw refusal(response.status, chunk.error, 0);
    const choice = chunk.choices?.[0];
    if (!choice) continue;
    finished ||= Boolean(choice.finish_reason);
    yield { id: chunk.id, text: choice.delta?.content ?? "", finish: choice.finish_reason ?? "" };
  }
  if (!finished) throw new Refusal("The connection was lost before the answer was complete.");
}

/** The data of a stream of server-sent events. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error) => {
        throw error.name === "AbortError" ? error : new Refusal("The connection to the server was lost.");
      });
      if (done) return;
      const lines = (rest + value).split(/\r?\n/);
      rest = lines.pop();
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
    throw new Refusal("The server sent something that is no answer.");
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
    throw new Refusal("The server cannot be reached. Is it still running?");
  }
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({}));
  throw refusal(response.status, error, Number(response.headers.get("Retry-After")) || 0);
}

const CODES = {
  content_filter: "The safety filter of this server does not let this message through.",
  context_length_exceeded: "This conversation is longer than the model can read. Start a new chat, or shorten the message.",
  feedback_off: "This server keeps no feedback.",
  response_not_found: "The server does not remember this answer any more.",
};

const STATUSES = {
  401: "The server wants a valid API key.",
  413: "This message is larger than the server takes.",
  429: "The server is busy with other conversations.",
  503: "The server is starting or about to stop.",
};

function refusal(status, error, after) {
  const code = String(error?.code ?? "");
  const said = typeof error?.message === "string" ? error.message.slice(0, 500) : "";
  const known = CODES[code] ?? STATUSES[status];
  const message = known ?? (said ? `The server refused: ${said}` : `The server answered with an error (${status}).`);
  return new Refusal(message, { status, code, after });
}

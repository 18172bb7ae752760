"""The OpenAI-compatible endpoints: models, chat completions, completions."""

import asyncio
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.errors import InputError
from core.tokenizer.chat import Message
from serve.answer import Answer
from serve.engine import BusyError
from serve.errors import RETRY_SECONDS, ApiError, invalid
from serve.responses import CHAT, COMPLETION, Form, Reply
from serve.schemas import Body, ChatBody, CompletionBody
from serve.service import Ready, Service
from serve.text import Detokenizer, StopStrings

SomeBody = TypeVar("SomeBody", bound=Body)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is to read, what ends its answer, and what is kept of it for feedback."""

    ids: Sequence[int]
    stop: frozenset[int]
    messages: Sequence[Mapping[str, str]]


def routes(service: Service) -> list[Route]:
    """``/v1/models``, ``/v1/chat/completions``, ``/v1/completions``."""

    async def models(_request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [_described(service.ready)]})

    async def model(request: Request) -> Response:
        return JSONResponse(_described(_named(service, request.path_params["name"])))

    async def chat(request: Request) -> Response:
        body = await _body(request, ChatBody)
        limit = body.max_completion_tokens or body.max_tokens
        return await _respond(service, request, body, limit, CHAT, lambda ready: _conversation(ready, body))

    async def complete(request: Request) -> Response:
        body = await _body(request, CompletionBody)
        limit = body.max_tokens
        return await _respond(
            service, request, body, limit, COMPLETION, lambda ready: _beginning(ready, body)
        )

    return [
        Route("/v1/models", models),
        Route("/v1/models/{name:path}", model),
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/completions", complete, methods=["POST"]),
    ]


async def _body(request: Request, kind: type[SomeBody]) -> SomeBody:
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        raise invalid(error) from None


def _named(service: Service, name: str) -> Ready:
    """The model of that name."""
    ready = service.ready
    if name != ready.loaded.name:
        message = f"there is no model {name!r}; this server has {ready.loaded.name!r}"
        raise ApiError(404, message, "model_not_found", "model")
    return ready


def _described(ready: Ready) -> dict[str, Any]:
    return {
        "id": ready.loaded.name,
        "object": "model",
        "created": ready.since,
        "owned_by": "gristmill",
        "sha256": ready.loaded.sha256,
        "context_length": ready.engine.capacity,
    }


def _conversation(ready: Ready, body: ChatBody) -> Prompt:
    turns = [
        Message("system" if turn.role == "developer" else turn.role, turn.content) for turn in body.messages
    ]
    try:
        chat = ready.loaded.chat
        ids, stop = chat.prompt(turns), chat.stop
    except InputError as error:
        raise ApiError(400, str(error), "invalid_value", "messages") from None
    return Prompt(ids, stop, [{"role": turn.role, "content": turn.content} for turn in turns])


def _beginning(ready: Ready, body: CompletionBody) -> Prompt:
    tokenizer = ready.loaded.tokenizer
    if isinstance(body.prompt, str):
        start = [] if tokenizer.bos is None else [tokenizer.bos]
        ids, text = start + tokenizer.encode(body.prompt), body.prompt
    else:
        if not all(0 <= token < tokenizer.vocabulary_size for token in body.prompt):
            message = f"token ids lie from 0 to {tokenizer.vocabulary_size - 1}; send such"
            raise ApiError(400, message, "invalid_value", "prompt")
        ids, text = body.prompt, tokenizer.decode(body.prompt)
    if not ids:
        raise ApiError(400, "the prompt is empty; send some text", "invalid_value", "prompt")
    return Prompt(ids, frozenset({tokenizer.eos}), [{"role": "user", "content": text}])


async def _respond(
    service: Service,
    request: Request,
    body: Body,
    limit: int | None,
    form: Form,
    prepare: Callable[[Ready], Prompt],
) -> Response:
    """Answer a valid body: whole or as a stream."""
    began = time.perf_counter()
    ready = _named(service, body.model)
    if ready.engine.full:
        raise _busy()
    with ready.engine.coming():
        prompt = await run_in_threadpool(_checked, service, ready, prepare)
        room = ready.engine.capacity - len(prompt.ids)
        limit = min(limit or service.settings.answer_tokens, room)
        sampling = body.sampling(secrets.randbits(63))
        try:
            generation = ready.engine.submit(prompt.ids, limit, sampling, prompt.stop)
        except BusyError:
            raise _busy() from None
    answer = Answer(
        ready.engine,
        generation,
        Detokenizer(ready.loaded.tokenizer, prompt.ids),
        StopStrings(body.stop),
        service.safety.outlet(),
        began=began,
        seconds=service.settings.request_seconds,
    )
    head = {"id": f"{form.prefix}-{uuid.uuid4().hex}", "created": int(time.time()), "model": body.model}
    reply = Reply(answer, form, head, lambda answer: _finish(service, ready, prompt, head, answer))
    if body.stream:
        return reply.stream(usage=bool(body.stream_options and body.stream_options.include_usage))
    return await reply.whole(request)


def _checked(service: Service, ready: Ready, prepare: Callable[[Ready], Prompt]) -> Prompt:
    """The prompt, unless it is too long or the safety filter refuses it."""
    prompt = prepare(ready)
    if len(prompt.ids) >= ready.engine.capacity:
        raise ApiError(
            400,
            f"the prompt has {len(prompt.ids)} tokens; with an answer, at most {ready.engine.capacity} fit; "
            "shorten it",
            "context_length_exceeded",
            "messages" if prompt.messages else "prompt",
        )
    if any(service.safety.refuses(turn["content"]) for turn in prompt.messages):
        message = "the safety filter of this server does not let this request through; change its text"
        raise ApiError(400, message, "content_filter")
    return prompt


def _busy() -> ApiError:
    return ApiError(
        429,
        "too many requests wait for an answer; try again in a moment",
        "queue_full",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )


def _finish(
    service: Service, ready: Ready, prompt: Prompt, head: Mapping[str, Any], answer: Answer
) -> Awaitable[None]:
    """Count an answer and keep it for feedback, however it ended; the disk may take its time."""
    answer.observe(service.metrics)
    return asyncio.get_running_loop().run_in_executor(
        None,
        service.journal.record,
        head["id"],
        head["created"],
        ready.loaded.name,
        ready.loaded.sha256,
        prompt.messages,
        answer.text,
        answer.finish_reason or "cancelled",
    )

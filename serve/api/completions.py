"""OpenAI-compatible endpoints: models, chat completions, completions."""

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
from serve.api import errors
from serve.api.errors import ApiError
from serve.api.responses import CHAT_COMPLETION, TEXT_COMPLETION, CompletionResponse, ObjectType
from serve.api.schemas import ChatCompletionRequest, CompletionRequest, GenerationRequest
from serve.engine import Generation, QueueFullError
from serve.service import ServedModel, Service
from serve.stream import TextStream
from serve.text import Detokenizer, StopStrings

RequestT = TypeVar("RequestT", bound=GenerationRequest)


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids of a prompt, the tokens that end the answer, and the conversation as kept for feedback."""

    ids: Sequence[int]
    stop_tokens: frozenset[int]
    messages: Sequence[Mapping[str, str]]


def routes(service: Service) -> list[Route]:
    """Return the routes ``/v1/models``, ``/v1/chat/completions`` and ``/v1/completions``."""

    async def models(_request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [_model_object(service.model)]})

    async def model(request: Request) -> Response:
        return JSONResponse(_model_object(_find_model(service, request.path_params["name"])))

    async def chat_completions(request: Request) -> Response:
        body = await _parse(request, ChatCompletionRequest)
        return await _respond(
            service, request, body, CHAT_COMPLETION, lambda model: _chat_prompt(model, body)
        )

    async def completions(request: Request) -> Response:
        body = await _parse(request, CompletionRequest)
        return await _respond(
            service, request, body, TEXT_COMPLETION, lambda model: _text_prompt(model, body)
        )

    return [
        Route("/v1/models", models),
        Route("/v1/models/{name:path}", model),
        Route("/v1/chat/completions", chat_completions, methods=["POST"]),
        Route("/v1/completions", completions, methods=["POST"]),
    ]


async def _parse(request: Request, schema: type[RequestT]) -> RequestT:
    try:
        return schema.model_validate_json(await request.body())
    except ValidationError as error:
        raise errors.invalid_body(error) from None


def _find_model(service: Service, name: str) -> ServedModel:
    """Return the model called ``name``."""
    model = service.model
    if name != model.loaded.name:
        message = f"there is no model {name!r}; this server has {model.loaded.name!r}"
        raise ApiError(404, message, "model_not_found", "model")
    return model


def _model_object(model: ServedModel) -> dict[str, Any]:
    return {
        "id": model.loaded.name,
        "object": "model",
        "created": model.created,
        "owned_by": "gristmill",
        "sha256": model.loaded.sha256,
        "context_length": model.engine.capacity,
    }


def _chat_prompt(model: ServedModel, body: ChatCompletionRequest) -> Prompt:
    """Apply the chat template to the messages."""
    messages = [
        Message("system" if message.role == "developer" else message.role, message.content)
        for message in body.messages
    ]
    try:
        chat = model.loaded.chat
        ids, stop_tokens = chat.prompt(messages), chat.stop
    except InputError as error:
        raise ApiError(400, str(error), "invalid_value", "messages") from None
    return Prompt(
        ids, stop_tokens, [{"role": message.role, "content": message.content} for message in messages]
    )


def _text_prompt(model: ServedModel, body: CompletionRequest) -> Prompt:
    """Encode the text of the prompt, or check its token ids."""
    tokenizer = model.loaded.tokenizer
    if isinstance(body.prompt, str):
        bos = [] if tokenizer.bos is None else [tokenizer.bos]
        ids, text = bos + tokenizer.encode(body.prompt), body.prompt
    else:
        if not all(0 <= token < tokenizer.vocabulary_size for token in body.prompt):
            message = f"token ids must be from 0 to {tokenizer.vocabulary_size - 1}; correct the prompt"
            raise ApiError(400, message, "invalid_value", "prompt")
        ids, text = body.prompt, tokenizer.decode(body.prompt)
    if not ids:
        raise ApiError(400, "the prompt is empty; send some text", "invalid_value", "prompt")
    return Prompt(ids, frozenset({tokenizer.eos}), [{"role": "user", "content": text}])


async def _respond(
    service: Service,
    request: Request,
    body: GenerationRequest,
    object_type: ObjectType,
    prepare: Callable[[ServedModel], Prompt],
) -> Response:
    """Generate and return the response of a valid body, complete or as a stream."""
    started = time.perf_counter()
    model = _find_model(service, body.model)
    if model.engine.is_full:
        raise errors.queue_full()
    with model.engine.expect_request():
        prompt = await run_in_threadpool(_checked_prompt, service, model, prepare)
        generation = _submit(service, model, body, prompt)
    text_stream = TextStream(
        model.engine,
        generation,
        Detokenizer(model.loaded.tokenizer, prompt.ids),
        StopStrings(body.stop),
        service.safety.stream_filter(),
        started=started,
        seconds=service.settings.request_seconds,
    )
    common = {
        "id": f"{object_type.id_prefix}-{uuid.uuid4().hex}",
        "created": int(time.time()),
        "model": body.model,
    }
    response = CompletionResponse(
        text_stream, object_type, common, lambda ended: _record(service, model, prompt, common, ended)
    )
    if body.stream:
        return response.streamed(
            include_usage=bool(body.stream_options and body.stream_options.include_usage)
        )
    return await response.complete(request)


def _checked_prompt(service: Service, model: ServedModel, prepare: Callable[[ServedModel], Prompt]) -> Prompt:
    """Return the prompt, unless it is too long or the safety filter rejects it."""
    prompt = prepare(model)
    if len(prompt.ids) >= model.engine.capacity:
        raise ApiError(
            400,
            f"the prompt has {len(prompt.ids)} tokens, but prompt and answer together may have at most "
            f"{model.engine.capacity}; shorten the prompt",
            "context_length_exceeded",
            "messages" if prompt.messages else "prompt",
        )
    if any(service.safety.rejects(message["content"]) for message in prompt.messages):
        message = "this request was rejected by the server's safety filter; change its text"
        raise ApiError(400, message, "content_filter")
    return prompt


def _submit(service: Service, model: ServedModel, body: GenerationRequest, prompt: Prompt) -> Generation:
    """Queue the request at the engine."""
    available = model.engine.capacity - len(prompt.ids)
    max_tokens = min(body.token_limit or service.settings.answer_tokens, available)
    sampling = body.sampling(secrets.randbits(63))
    try:
        return model.engine.submit(prompt.ids, max_tokens, sampling, prompt.stop_tokens)
    except QueueFullError:
        raise errors.queue_full() from None


def _record(
    service: Service, model: ServedModel, prompt: Prompt, common: Mapping[str, Any], ended: TextStream
) -> Awaitable[None]:
    """Count an answer and store it for feedback, in a thread since the disk may be slow."""
    ended.observe(service.metrics)
    return asyncio.get_running_loop().run_in_executor(
        None,
        service.feedback.add_answer,
        common["id"],
        common["created"],
        model.loaded.name,
        model.loaded.sha256,
        prompt.messages,
        ended.text,
        ended.finish_reason or "cancelled",
    )

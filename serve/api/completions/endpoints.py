"""OpenAI-compatible endpoints: chat completions, completions."""

import secrets
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.api import errors
from serve.api.body import parse
from serve.api.completions.choices import Choice, Choices
from serve.api.completions.prompts import Prompt, chat_prompts, check, text_prompts
from serve.api.completions.responses import CHAT_COMPLETION, TEXT_COMPLETION, CompletionResponse, ObjectType
from serve.api.models import find_model
from serve.api.schemas.generation import ChatCompletionRequest, CompletionRequest, GenerationRequest
from serve.engine import QueueFullError
from serve.feedback.recent import Answer
from serve.service import ServedModel, Service
from serve.stream import TextStream
from serve.text import Detokenizer, StopStrings


def routes(service: Service) -> list[Route]:
    """Return the routes ``/v1/chat/completions`` and ``/v1/completions``."""

    async def chat_completions(request: Request) -> Response:
        body = await parse(request, ChatCompletionRequest)
        return await _respond(
            service, request, body, CHAT_COMPLETION, "messages", lambda model: chat_prompts(model, body)
        )

    async def completions(request: Request) -> Response:
        body = await parse(request, CompletionRequest)
        return await _respond(
            service, request, body, TEXT_COMPLETION, "prompt", lambda model: text_prompts(model, body)
        )

    return [
        Route("/v1/chat/completions", chat_completions, methods=["POST"]),
        Route("/v1/completions", completions, methods=["POST"]),
    ]


async def _respond(
    service: Service,
    request: Request,
    body: GenerationRequest,
    object_type: ObjectType,
    parameter: str,
    prepare: Callable[[ServedModel], list[Prompt]],
) -> Response:
    """Generate and return the response of a valid body, complete or as a stream.

    ``prepare`` returns the prompts, which the body names ``parameter``.
    """
    started = time.perf_counter()
    model = find_model(service, body.model)
    if model.engine.is_full:
        raise errors.queue_full()

    def checked_prompts() -> list[Prompt]:
        prompts = prepare(model)
        check(service, model, prompts, body.logit_bias, parameter)
        return prompts

    with model.engine.expect_request():
        prompts = await run_in_threadpool(checked_prompts)
        common = {
            "id": f"{object_type.id_prefix}-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": body.model,
        }
        seed = secrets.randbits(63) if body.seed is None else body.seed
        job = _Job(service, model, body, prompts, started, seed, common)
        choices = job.choices()
        try:
            choices.all[0].start()
        except QueueFullError:
            raise errors.queue_full() from None
    token_texts = model.token_texts if body.token_logprobs else None
    num_tokens = sum(len(prompt.ids) for prompt in prompts)
    response = CompletionResponse(choices, object_type, common, token_texts, num_tokens)
    if body.stream:
        return response.streamed(
            include_usage=bool(body.stream_options and body.stream_options.include_usage)
        )
    return await response.complete(request)


@dataclass(frozen=True, slots=True)
class _Job:
    """An admitted request and its prompts."""

    service: Service
    model: ServedModel
    body: GenerationRequest
    prompts: Sequence[Prompt]
    started: float
    seed: int
    common: Mapping[str, Any]

    def choices(self) -> Choices:
        """Return the choices of the response: ``n`` of the first prompt, then of the next."""
        count = len(self.prompts) * self.body.n
        choices = [Choice(index, partial(self._start, index)) for index in range(count)]
        return Choices(choices, max(1, self.model.engine.slots // 2), self._finish)

    def _start(self, index: int) -> TextStream:
        """Queue the generation of a choice. Raises :class:`QueueFullError` for the first one."""
        body, engine, prompt = self.body, self.model.engine, self.prompts[index // self.body.n]
        only_prompt = body.token_limit == 0
        limit = self.service.settings.answer_tokens if body.token_limit is None else body.token_limit
        generation = engine.submit(
            prompt.ids,
            max(1, min(limit, engine.capacity - len(prompt.ids))),
            body.sampling(self.seed + index % body.n),
            prompt.stop_tokens,
            body.token_logprobs,
            is_part=index > 0,
        )
        return TextStream(
            engine,
            generation,
            Detokenizer(self.model.loaded.tokenizer, prompt.ids),
            StopStrings(body.stop),
            self.service.safety.stream_filter(),
            self.model.token_texts,
            started=self.started,
            seconds=self.service.settings.request_seconds,
            echo=prompt.text if body.echoes_prompt else None,
            only_prompt=only_prompt,
        )

    def _finish(self, choice: Choice) -> None:
        """Count an answer, complete or not. The first one can be rated."""
        choice.stream.observe(self.service.metrics)
        if choice.index == 0:
            self.service.feedback.add(
                Answer(
                    self.common["id"],
                    self.common["created"],
                    self.model.loaded.name,
                    self.model.loaded.sha256,
                    self.prompts[0].messages,
                    self.prompts[0].continued + choice.stream.text,
                    choice.stream.finish_reason or "cancelled",
                )
            )

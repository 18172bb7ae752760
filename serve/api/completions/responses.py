"""Completion responses: one JSON object, or a stream of server-sent events."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Send

from serve.api.completions.choices import Choice, Choices
from serve.api.completions.logprobs import chat_logprobs, completion_logprobs
from serve.api.errors import ApiError, internal_error, model_failed, timed_out
from serve.api.middleware import CLIENT_CLOSED_REQUEST
from serve.engine import GenerationError
from serve.logprobs import ScoredToken, TokenTexts
from serve.stream import Chunk

Fields = dict[str, Any]

KEEP_ALIVE_SECONDS = 15.0
"""Time after which an event stream without events sends a comment, so that proxies keep the connection."""
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""Keep proxies from holding back events."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ObjectType:
    """Differences between the response objects of the two endpoints."""

    id_prefix: str
    name: str
    chunk_name: str
    first_chunk: Fields | None
    """Choice of the chunk that opens a stream, before there is text."""
    choice: Callable[[str], Fields]
    """Choice of a complete response, from its text."""
    chunk_choice: Callable[[str], Fields]
    """Choice of a stream's chunk, from its text."""
    logprobs: Callable[[Sequence[ScoredToken], TokenTexts], Fields]


CHAT_COMPLETION = ObjectType(
    id_prefix="chatcmpl",
    name="chat.completion",
    chunk_name="chat.completion.chunk",
    first_chunk={"delta": {"role": "assistant", "content": ""}},
    choice=lambda text: {"message": {"role": "assistant", "content": text, "refusal": None}},
    chunk_choice=lambda text: {"delta": {"content": text} if text else {}},
    logprobs=chat_logprobs,
)
TEXT_COMPLETION = ObjectType(
    id_prefix="cmpl",
    name="text_completion",
    chunk_name="text_completion",
    first_chunk=None,
    choice=lambda text: {"text": text},
    chunk_choice=lambda text: {"text": text},
    logprobs=completion_logprobs,
)


@dataclass(frozen=True, slots=True)
class CompletionResponse:
    """The response with the choices of a request, complete or in chunks."""

    choices: Choices
    object_type: ObjectType
    common: Mapping[str, Any]
    """Fields of every object: id, created, model."""
    token_texts: TokenTexts | None
    """For responses with log-probabilities."""
    prompt_tokens: int
    """Number of tokens in all prompts."""

    async def complete(self, request: Request) -> Response:
        """Return the complete response; cancel the generation if the client disconnects before."""
        collecting = asyncio.create_task(self._collect())
        disconnected = asyncio.create_task(_wait_for_disconnect(request))
        try:
            await asyncio.wait({collecting, disconnected}, return_when=asyncio.FIRST_COMPLETED)
            if not collecting.done():
                return Response(status_code=CLIENT_CLOSED_REQUEST)
            choices = await collecting
        except (GenerationError, TimeoutError) as error:
            raise _api_error(error) from None
        finally:
            disconnected.cancel()
            collecting.cancel()
            await asyncio.gather(collecting, disconnected, return_exceptions=True)
            self.choices.close()
        body = {**self.common, "object": self.object_type.name, "choices": choices}
        return JSONResponse(body | {"usage": self._usage()})

    def streamed(self, *, include_usage: bool) -> Response:
        """Return the response in chunks; with ``include_usage`` the last one counts the tokens."""
        return _EventStream(self._events(include_usage=include_usage), self.choices)

    async def _collect(self) -> list[Fields]:
        """Return the complete choices, in order."""
        chunks: dict[int, list[Chunk]] = {choice.index: [] for choice in self.choices.all}
        async with aclosing(self.choices.events()) as events:
            async for event in events:
                if event and event[1]:
                    chunks[event[0].index].append(event[1])
        return [self._complete_choice(choice, chunks[choice.index]) for choice in self.choices.all]

    def _complete_choice(self, choice: Choice, chunks: Sequence[Chunk]) -> Fields:
        fields = self.object_type.choice("".join(chunk.text for chunk in chunks))
        tokens = [token for chunk in chunks for token in chunk.tokens]
        logprobs = self.object_type.logprobs(tokens, self.token_texts) if self.token_texts else None
        return _choice(choice, fields, logprobs, choice.stream.finish_reason)

    async def _events(self, *, include_usage: bool) -> AsyncGenerator[str, None]:
        name, chunk_choice = self.object_type.chunk_name, self.object_type.chunk_choice
        common = {**self.common, "object": name, **({"usage": None} if include_usage else {})}

        def chunk(
            choice: Choice, fields: Fields, part: Chunk | None = None, finish: str | None = None
        ) -> str:
            logprobs = None
            if self.token_texts and part and part.tokens:
                logprobs = self.object_type.logprobs(part.tokens, self.token_texts)
            return _event({**common, "choices": [_choice(choice, fields, logprobs, finish)]})

        try:
            async with aclosing(self.choices.events(KEEP_ALIVE_SECONDS)) as events:
                if self.object_type.first_chunk:
                    for choice in self.choices.all:
                        yield chunk(choice, self.object_type.first_chunk)
                async for event in events:
                    if event is None:
                        yield ": keep-alive\n\n"
                        continue
                    choice, part = event
                    if part:
                        yield chunk(choice, chunk_choice(part.text), part)
                    else:
                        yield chunk(choice, chunk_choice(""), finish=choice.stream.finish_reason)
        except Exception as error:
            yield _event(_api_error(error).body)
            return
        if include_usage:
            yield _event({**common, "choices": [], "usage": self._usage()})
        yield "data: [DONE]\n\n"

    def _usage(self) -> Fields:
        completion_tokens = sum(choice.stream.num_tokens for choice in self.choices.all)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
        }


class _EventStream(StreamingResponse):
    """Server-sent events; cancels the choices as soon as the client disconnects."""

    def __init__(self, events: AsyncGenerator[str, None], choices: Choices) -> None:
        super().__init__(events, headers=STREAM_HEADERS, media_type="text/event-stream")
        self._events = events
        self._choices = choices

    async def stream_response(self, send: Send) -> None:
        """Send all events."""
        try:
            await super().stream_response(send)
        finally:
            await self._events.aclose()
            self._choices.close()


def _choice(choice: Choice, fields: Fields, logprobs: Fields | None, finish_reason: str | None) -> Fields:
    """Return a choice of a response or chunk; one that the safety filter ended states rule and category."""
    result = {"index": choice.index, **fields, "logprobs": logprobs, "finish_reason": finish_reason}
    if finish_reason == "content_filter" and choice.stream.refusal:
        result["content_filter"] = choice.stream.refusal.to_json()
    return result


def _event(data: Mapping[str, Any]) -> str:
    """Return a server-sent event. It is ASCII, since clients split lines at other separators than LF, too."""
    return f"data: {json.dumps(data, separators=(',', ':'))}\n\n"


def _api_error(error: Exception) -> ApiError:
    """Return the error that the client gets; log an unexpected one."""
    if isinstance(error, GenerationError):
        return model_failed()
    if isinstance(error, TimeoutError):
        return timed_out()
    log.error("a response failed: %s", error, exc_info=error)
    return internal_error()


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

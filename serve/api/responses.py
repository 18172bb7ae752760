"""Completion responses: one JSON object, or a stream of server-sent events."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Send

from serve.api.errors import model_failed
from serve.api.middleware import CLIENT_CLOSED_REQUEST
from serve.engine import GenerationError
from serve.stream import TextStream

Choice = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ObjectType:
    """Differences between the response objects of the two endpoints."""

    id_prefix: str
    name: str
    chunk_name: str
    first_chunk: Choice | None
    """Choice of the chunk that opens a stream, before there is text."""
    choice: Callable[[str], Choice]
    """Choice of a complete response, from its text."""
    chunk_choice: Callable[[str], Choice]
    """Choice of a stream's chunk, from its text."""


CHAT_COMPLETION = ObjectType(
    id_prefix="chatcmpl",
    name="chat.completion",
    chunk_name="chat.completion.chunk",
    first_chunk={"delta": {"role": "assistant", "content": ""}},
    choice=lambda text: {"message": {"role": "assistant", "content": text, "refusal": None}},
    chunk_choice=lambda text: {"delta": {"content": text} if text else {}},
)
TEXT_COMPLETION = ObjectType(
    id_prefix="cmpl",
    name="text_completion",
    chunk_name="text_completion",
    first_chunk=None,
    choice=lambda text: {"text": text},
    chunk_choice=lambda text: {"text": text},
)


@dataclass(frozen=True, slots=True)
class CompletionResponse:
    """The response for a text stream, complete or in chunks."""

    text_stream: TextStream
    object_type: ObjectType
    common: Mapping[str, Any]
    """Fields of every object: id, created, model."""
    on_finished: Callable[[TextStream], Awaitable[None]]
    """Called once at the end of the stream, complete or not; its result may be awaited."""

    async def complete(self, request: Request) -> Response:
        """Return the complete response; cancel the generation if the client disconnects before."""
        collecting = asyncio.create_task(self._collect())
        disconnected = asyncio.create_task(_wait_for_disconnect(request))
        try:
            await asyncio.wait({collecting, disconnected}, return_when=asyncio.FIRST_COMPLETED)
            if not collecting.done():
                return Response(status_code=CLIENT_CLOSED_REQUEST)
            await collecting
        except GenerationError:
            raise model_failed() from None
        finally:
            disconnected.cancel()
            collecting.cancel()
            await asyncio.gather(collecting, disconnected, return_exceptions=True)
        choice = self.object_type.choice(self.text_stream.text)
        body = self._object(self.object_type.name, choice, self.text_stream.finish_reason)
        return JSONResponse(body | {"usage": self._usage()})

    def streamed(self, *, include_usage: bool) -> Response:
        """Return the response in chunks; with ``include_usage`` the last one counts the tokens."""
        return _EventStream(self._events(include_usage=include_usage))

    async def _collect(self) -> None:
        try:
            async with aclosing(self.text_stream.chunks()) as chunks:
                async for _ in chunks:
                    pass
        finally:
            recorded = self.on_finished(self.text_stream)
        await recorded

    async def _events(self, *, include_usage: bool) -> AsyncGenerator[str, None]:
        null_usage = {"usage": None} if include_usage else {}
        name, chunk_choice = self.object_type.chunk_name, self.object_type.chunk_choice

        def chunk(choice: Choice, finish_reason: str | None = None) -> str:
            return _event(self._object(name, choice, finish_reason) | null_usage)

        try:
            async with aclosing(self.text_stream.chunks()) as texts:
                if self.object_type.first_chunk:
                    yield chunk(self.object_type.first_chunk)
                async for text in texts:
                    yield chunk(chunk_choice(text))
        except GenerationError:
            yield _event(model_failed().body)
            return
        finally:
            recorded = self.on_finished(self.text_stream)
        await recorded
        yield chunk(chunk_choice(""), self.text_stream.finish_reason)
        if include_usage:
            yield _event({**self.common, "object": name, "choices": [], "usage": self._usage()})
        yield "data: [DONE]\n\n"

    def _object(self, name: str, choice: Choice, finish_reason: str | None) -> dict[str, Any]:
        choices = [{"index": 0, **choice, "logprobs": None, "finish_reason": finish_reason}]
        return {**self.common, "object": name, "choices": choices}

    def _usage(self) -> dict[str, int]:
        prompt, completion = self.text_stream.num_prompt_tokens, self.text_stream.num_tokens
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }


class _EventStream(StreamingResponse):
    """Server-sent events; closes their generator as soon as the client disconnects."""

    def __init__(self, events: AsyncGenerator[str, None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._events = events

    async def stream_response(self, send: Send) -> None:
        """Send all events."""
        try:
            await super().stream_response(send)
        finally:
            await self._events.aclose()


def _event(data: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

"""How an answer is worded over HTTP: whole, or as a stream of server-sent events."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Send

from serve.answer import Answer
from serve.engine import FailedError
from serve.errors import ApiError

CLIENT_LEFT = 499
"""The status of a response that nobody waits for any more, as nginx names it in its log."""

Choice = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Form:
    """What the two endpoints word in different ways."""

    prefix: str
    """Of response ids."""
    whole: str
    """The object's name; of a stream's parts: ``part``."""
    part: str
    opening: Choice | None
    """What a stream says before there is any text."""
    text: Callable[[str], Choice]
    delta: Callable[[str], Choice]


CHAT = Form(
    "chatcmpl",
    "chat.completion",
    "chat.completion.chunk",
    {"delta": {"role": "assistant", "content": ""}},
    lambda text: {"message": {"role": "assistant", "content": text, "refusal": None}},
    lambda text: {"delta": {"content": text} if text else {}},
)
COMPLETION = Form(
    "cmpl",
    "text_completion",
    "text_completion",
    None,
    lambda text: {"text": text},
    lambda text: {"text": text},
)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer under way, and what every part of its response repeats: id, created, model."""

    answer: Answer
    form: Form
    head: Mapping[str, Any]
    done: Callable[[Answer], Awaitable[None]]
    """Called once when the answer is over, complete or not; what it returns need not be awaited."""

    async def whole(self, request: Request) -> Response:
        """The response once the answer is complete; the answer ends if the client leaves before."""
        collecting = asyncio.create_task(self._collect())
        leaving = asyncio.create_task(_left(request))
        try:
            await asyncio.wait({collecting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not collecting.done():
                return Response(status_code=CLIENT_LEFT)
            await collecting
        except FailedError:
            raise _failure() from None
        finally:
            leaving.cancel()
            collecting.cancel()
            await asyncio.gather(collecting, leaving, return_exceptions=True)
        choice = self.form.text(self.answer.text)
        return JSONResponse(
            self._object(self.form.whole, choice, self.answer.finish_reason) | {"usage": self._usage()}
        )

    def stream(self, *, usage: bool) -> Response:
        """The response part by part; ``usage``: the last part counts the tokens."""
        return _Stream(self._events(usage=usage))

    async def _collect(self) -> None:
        try:
            async with aclosing(self.answer.pieces()) as pieces:
                async for _ in pieces:
                    pass
        finally:
            kept = self.done(self.answer)
        await kept

    async def _events(self, *, usage: bool) -> AsyncGenerator[str, None]:
        null = {"usage": None} if usage else {}

        def part(choice: Choice, finish_reason: str | None = None) -> str:
            return _event(self._object(self.form.part, choice, finish_reason) | null)

        try:
            async with aclosing(self.answer.pieces()) as pieces:
                if self.form.opening:
                    yield part(self.form.opening)
                async for piece in pieces:
                    yield part(self.form.delta(piece))
        except FailedError:
            yield _event(_failure().body)
            return
        finally:
            kept = self.done(self.answer)
        await kept
        yield part(self.form.delta(""), self.answer.finish_reason)
        if usage:
            yield _event({**self.head, "object": self.form.part, "choices": [], "usage": self._usage()})
        yield "data: [DONE]\n\n"

    def _object(self, name: str, choice: Choice, finish_reason: str | None) -> dict[str, Any]:
        choices = [{"index": 0, **choice, "logprobs": None, "finish_reason": finish_reason}]
        return {**self.head, "object": name, "choices": choices}

    def _usage(self) -> dict[str, int]:
        read, drawn = self.answer.prompt_tokens, self.answer.tokens
        return {"prompt_tokens": read, "completion_tokens": drawn, "total_tokens": read + drawn}


class _Stream(StreamingResponse):
    """Server-sent events; ends their generator at once when the client leaves."""

    def __init__(self, events: AsyncGenerator[str, None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._events = events

    async def stream_response(self, send: Send) -> None:
        """Send every part."""
        try:
            await super().stream_response(send)
        finally:
            await self._events.aclose()


def _event(data: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


def _failure() -> ApiError:
    return ApiError(500, "the model failed on this request; the server's log says why", "model_failed")


async def _left(request: Request) -> None:
    """Return when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass

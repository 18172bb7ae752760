"""The chat page's server with prepared answers: real HTTP on loopback, real feedback, no model.

Each request takes the next answer of ``answers``. So a page can be shown what no model could be made to say.
"""

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from serve import errors, feedback, page
from serve.errors import ApiError


@dataclass
class Answer:
    """What the next request gets."""

    pieces: list[str]
    held: int = -1
    """How many pieces come before the rest waits for ``go``; -1: all of them."""
    finish: str = "stop"
    status: int = 200
    """Another one: a refusal, with ``code`` and ``retry_after``."""
    code: str = ""
    retry_after: int = 0
    error: str = ""
    """An error in the middle of the stream, after the pieces."""


@dataclass
class Prepared:
    """The server: its address, what it will answer, and what it was asked."""

    url: str
    journal: feedback.Journal
    answers: deque[Answer] = field(default_factory=deque)
    requests: list[dict[str, Any]] = field(default_factory=list)
    key: str = ""
    """The API key that is wanted; empty: none."""
    loading: bool = False
    """Whether the model is still to come."""
    go: threading.Event = field(default_factory=threading.Event)
    left: int = 0
    """Answers whose reader left before their end."""

    def will_say(self, *pieces: str, **options: Any) -> None:
        self.answers.append(Answer(list(pieces), **options))

    def admit(self, request: Request) -> None:
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            raise ApiError(401, "no valid key", "invalid_api_key")
        if self.loading:
            raise errors.unavailable("the model is being loaded", "loading")

    async def models(self, request: Request) -> Response:
        self.admit(request)
        return JSONResponse({"object": "list", "data": [{"id": "prepared"}]})

    async def chat(self, request: Request) -> Response:
        self.admit(request)
        asked = await request.json()
        self.requests.append(asked)
        answer = self.answers.popleft()
        if answer.status != 200:
            after = {"Retry-After": str(answer.retry_after)} if answer.retry_after else None
            raise ApiError(answer.status, "refused as prepared", answer.code, headers=after)
        stream = self._stream(f"chatcmpl-{len(self.requests)}", asked["messages"], answer)
        return StreamingResponse(stream, media_type="text/event-stream")

    async def _stream(self, name: str, messages: list[dict[str, str]], answer: Answer) -> AsyncIterator[str]:
        said, finish = "", "cancelled"
        try:
            yield _chunk(name, {"role": "assistant", "content": ""})
            for place, piece in enumerate(answer.pieces):
                while place == answer.held and not self.go.is_set():
                    await asyncio.sleep(0.01)
                said += piece
                yield _chunk(name, {"content": piece})
            if answer.error:
                yield f"data: {json.dumps({'error': {'message': answer.error, 'code': 'x'}})}\n\n"
                return
            yield _chunk(name, {}, answer.finish)
            yield "data: [DONE]\n\n"
            finish = answer.finish
        finally:
            self.left += finish == "cancelled" and not answer.error
            self.journal.record(name, int(time.time()), "prepared", "0" * 64, messages, said, finish)


def _chunk(name: str, delta: dict[str, str], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({'id': name, 'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n"


@contextmanager
def prepared_server(database: Path | str) -> Iterator[Prepared]:
    """A running server that keeps feedback in ``database``; nowhere, if that is empty."""
    made = Prepared("", feedback.Journal(str(database)))
    own = [
        Route("/v1/models", made.models),
        Route("/v1/chat/completions", made.chat, methods=["POST"]),
    ]
    app = Starlette(
        routes=[*own, *feedback.routes(made.journal), *page.routes()],
        exception_handlers={ApiError: errors.on_api_error},
    )
    with running(app) as made.url:
        yield made
    made.journal.close()


@contextmanager
def running(app: Starlette) -> Iterator[str]:
    """The address of ``app``, served until the end of the block."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="error", ws="none", lifespan="off", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()

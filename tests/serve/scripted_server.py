"""A server with scripted answers: real HTTP on loopback, the real chat page and feedback store, no model.

Each request gets the next answer of ``answers``, so a client can be shown output that no model would produce.
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

from serve.api import chat_page, errors, feedback
from serve.api.errors import ApiError
from serve.feedback.recent import Answer as RatedAnswer
from serve.feedback.recorder import FeedbackRecorder
from serve.feedback.store import FeedbackStore


@dataclass
class Answer:
    """The answer to one request."""

    chunks: list[str]
    held: int = -1
    """Number of chunks before the stream pauses until ``resume`` is set; -1: it does not pause."""
    finish: str = "stop"
    status: int = 200
    """Any other status: an error response with ``code`` and ``retry_after``."""
    code: str = ""
    retry_after: int = 0
    error: str = ""
    """Message of an error within the stream, after the chunks."""
    refusal: dict[str, str] = field(default_factory=dict)
    """Rule and category of the safety filter, in the error or in the last event."""


@dataclass
class ScriptedServer:
    """A running server: its address, its coming answers, and the requests that it received."""

    url: str
    feedback: FeedbackRecorder
    answers: deque[Answer] = field(default_factory=deque)
    requests: list[dict[str, Any]] = field(default_factory=list)
    key: str = ""
    """The required API key; empty: none."""
    can_chat: bool = True
    """False: a base model."""
    loading: bool = False
    """True while the model is loading."""
    resume: threading.Event = field(default_factory=threading.Event)
    num_disconnects: int = 0
    """Streams that the client closed before their end."""

    def add_answer(self, *chunks: str, **options: Any) -> None:
        """Append an answer to the script; ``options`` are fields of :class:`Answer`."""
        self.answers.append(Answer(list(chunks), **options))

    def admit(self, request: Request) -> None:
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            raise ApiError(401, "invalid key", "invalid_api_key")
        if self.loading:
            raise errors.unavailable("the model is loading", "loading")

    async def models(self, request: Request) -> Response:
        self.admit(request)
        return JSONResponse({"object": "list", "data": [{"id": "scripted", "chat": self.can_chat}]})

    async def chat(self, request: Request) -> Response:
        self.admit(request)
        body = await request.json()
        self.requests.append(body)
        answer = self.answers.popleft()
        if answer.status != 200:
            headers = {"Retry-After": str(answer.retry_after)} if answer.retry_after else None
            raise ApiError(answer.status, "scripted error", answer.code, None, headers, answer.refusal)
        stream = self._stream(f"chatcmpl-{len(self.requests)}", body["messages"], answer)
        return StreamingResponse(stream, media_type="text/event-stream")

    async def _stream(
        self, response_id: str, messages: list[dict[str, str]], answer: Answer
    ) -> AsyncIterator[str]:
        """Yield the events of an answer; record it before the last event, as the real server does."""
        text, finish = "", "cancelled"
        try:
            yield _event(response_id, {"role": "assistant", "content": ""})
            for index, chunk in enumerate(answer.chunks):
                while index == answer.held and not self.resume.is_set():
                    await asyncio.sleep(0.01)
                text += chunk
                yield _event(response_id, {"content": chunk})
            finish = "error" if answer.error else answer.finish
        finally:
            self.num_disconnects += finish == "cancelled"
            answered = int(time.time()), "scripted", "0" * 64, messages, text, finish
            self.feedback.add(RatedAnswer(response_id, *answered))
        if answer.error:
            yield f"data: {json.dumps({'error': {'message': answer.error, 'code': 'x'}})}\n\n"
            return
        yield _event(response_id, {}, answer.finish, answer.refusal)
        yield "data: [DONE]\n\n"


def _event(
    response_id: str, delta: dict[str, str], finish: str | None = None, refusal: dict[str, str] | None = None
) -> str:
    choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": finish}
    if refusal:
        choice["content_filter"] = refusal
    data = {"id": response_id, "object": "chat.completion.chunk", "choices": [choice]}
    return f"data: {json.dumps(data)}\n\n"


@contextmanager
def scripted_server(database: Path | str) -> Iterator[ScriptedServer]:
    """Run a server that stores feedback in ``database``; an empty path disables feedback."""
    server = ScriptedServer("", FeedbackRecorder(FeedbackStore(str(database))))
    routes = [
        Route("/v1/models", server.models),
        Route("/v1/chat/completions", server.chat, methods=["POST"]),
        *feedback.routes(server.feedback),
        *chat_page.routes(),
    ]
    app = Starlette(routes=routes, exception_handlers={ApiError: errors.on_api_error})
    with _running(app) as server.url:
        yield server
    server.feedback.close()


@contextmanager
def _running(app: Starlette) -> Iterator[str]:
    """Run ``app`` during the block; yield its address."""
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

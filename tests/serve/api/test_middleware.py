"""Middleware: order of access log and response, admission, limits."""

import asyncio
import logging
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from core.config import ServeConfig
from serve.api.keys import ApiKeys
from serve.api.middleware import RequestMiddleware
from serve.feedback.store import FeedbackStore
from serve.safety.filter import SafetyFilter
from serve.service import Service


def service(**settings: Any) -> Service:
    config = ServeConfig(safety=False, **settings)
    return Service(config, FeedbackStore(), SafetyFilter(config))


def scope(path: str = "/v1/models", method: str = "GET", **headers: str) -> Scope:
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "headers": encoded}


async def stream(_scope: Scope, _receive: Receive, send: Send) -> None:
    """An application that sends two chunks."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"one", "more_body": True})
    await send({"type": "http.response.body", "body": b"two"})


def call(middleware: RequestMiddleware, request: Scope, sent: list[Message], log: list[str]) -> list[int]:
    """Send a request; return the number of log lines that were there as each message was sent."""
    lines: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"{}"}

    async def send(message: Message) -> None:
        sent.append(message)
        lines.append(len(log))

    asyncio.run(middleware(request, receive, send))
    return lines


@pytest.fixture
def access_log() -> Any:
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler, logger = Collector(), logging.getLogger("serve.access")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_access_line_and_metrics_precede_the_end_of_the_response(access_log: list[str]) -> None:
    served, sent = service(), list[Message]()
    middleware = RequestMiddleware(stream, served, ApiKeys([]), loopback_only=False)
    assert call(middleware, scope(), sent, access_log) == [0, 0, 1]
    request_id = dict(sent[0]["headers"])[b"x-request-id"].decode()
    assert access_log[0].startswith("GET other 200 ") and access_log[0].endswith(request_id)
    assert b'gristmill_requests_total{route="other",status="200"} 1.0' in served.metrics.text()
    assert served.active_requests == 0


def test_rejected_requests_are_logged_too(access_log: list[str]) -> None:
    sent: list[Message] = []
    middleware = RequestMiddleware(stream, service(), ApiKeys(["key"]), loopback_only=False)
    assert call(middleware, scope(authorization="Bearer other"), sent, access_log)[-1] == 1
    assert sent[0]["status"] == 401 and " 401 " in access_log[0]


def test_request_without_a_response_is_logged_as_closed_by_the_client(access_log: list[str]) -> None:
    async def silent(_scope: Scope, _receive: Receive, _send: Send) -> None:
        return

    middleware = RequestMiddleware(silent, service(), ApiKeys([]), loopback_only=False)
    assert call(middleware, scope(), [], access_log) == []
    assert " 499 " in access_log[0] and len(access_log) == 1


LONG = {"host": "localhost", "content-type": "application/json", "content-length": "11"}


@pytest.mark.parametrize(
    ("request_scope", "status"),
    [
        (scope(host="localhost:8000"), 200),
        (scope(host="[::1]:8000"), 200),
        (scope(host="evil.example"), 403),
        (scope("/v1/chat/completions", "POST", host="localhost"), 415),
        (scope("/v1/chat/completions", "POST", **LONG), 413),
    ],
)
def test_admission_of_a_server_that_only_this_machine_reaches(request_scope: Scope, status: int) -> None:
    sent: list[Message] = []
    middleware = RequestMiddleware(stream, service(body_bytes=10), ApiKeys([]), loopback_only=True)
    call(middleware, request_scope, sent, [])
    assert sent[0]["status"] == status

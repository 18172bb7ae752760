"""Middleware: order of access log and response, admission, limits."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.config import ServeConfig
from serve.api.admission import AdmissionMiddleware
from serve.api.keys import ApiKeys
from serve.api.middleware import RequestMiddleware
from serve.api.paths import canonical_path
from serve.feedback.store import FeedbackStore
from serve.safety.filter import SafetyFilter
from serve.service import Service


def service(**settings: Any) -> Service:
    config = ServeConfig(safety=False, **settings)
    return Service(config, FeedbackStore(), SafetyFilter(config))


def scope(path: str = "/v1/models", method: str = "GET", **headers: str) -> Scope:
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "headers": encoded}


def guarded(
    app: ASGIApp, served: Service, keys: Sequence[str] = (), *, loopback_only: bool = False
) -> RequestMiddleware:
    """Return ``app`` behind both middlewares."""
    admitted = AdmissionMiddleware(app, served.settings, ApiKeys(keys), loopback_only=loopback_only)
    return RequestMiddleware(admitted, served)


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
    middleware = guarded(stream, served)
    assert call(middleware, scope(), sent, access_log) == [0, 0, 1]
    request_id = dict(sent[0]["headers"])[b"x-request-id"].decode()
    assert access_log[0].startswith("GET other 200 ") and access_log[0].endswith(request_id)
    assert b'gristmill_requests_total{route="other",status="200"} 1.0' in served.metrics.text()
    assert served.active_requests == 0


def test_rejected_requests_are_logged_too(access_log: list[str]) -> None:
    sent: list[Message] = []
    middleware = guarded(stream, service(), ["key"])
    assert call(middleware, scope(authorization="Bearer other"), sent, access_log)[-1] == 1
    assert sent[0]["status"] == 401 and " 401 " in access_log[0]


def test_request_without_a_response_is_logged_as_closed_by_the_client(access_log: list[str]) -> None:
    async def silent(_scope: Scope, _receive: Receive, _send: Send) -> None:
        return

    middleware = guarded(silent, service())
    assert call(middleware, scope(), [], access_log) == []
    assert " 499 " in access_log[0] and len(access_log) == 1


JSON = {"host": "localhost", "content-type": "application/json"}
CHAT = "/v1/chat/completions"
FOREIGN = {"host": "localhost:80", "origin": "https://evil.example"}


@pytest.mark.parametrize(
    ("request_scope", "status"),
    [
        (scope(host="localhost:8000"), 200),
        (scope(host="LocalHost."), 200),
        (scope(host="chat.localhost:8000"), 200),
        (scope(host="[::1]:8000"), 200),
        (scope(host="127.0.0.2"), 200),
        (scope(host="[::ffff:127.0.0.1]:80"), 200),
        (scope(host="0.0.0.0:8000"), 200),
        (scope(host="host.docker.internal:8000"), 200),
        (scope(host="chat.example.org"), 200),  # in serve.hosts
        (scope(), 200),
        (scope(host="evil.example"), 403),
        (scope(host="localhost.evil.example"), 403),
        (scope(host="evil.example:8000@localhost"), 200),  # a user name; the host is localhost
        (scope(host="localhost@evil.example"), 403),
        (scope(host="[localhost"), 403),
        (scope(CHAT, "POST", **JSON), 200),
        (scope(CHAT, "POST", host="localhost"), 200),
        (scope(CHAT, "POST", host="localhost", **{"content-type": "text/plain"}), 200),
        (scope(CHAT, "POST", **FOREIGN), 415),
        (scope(CHAT, "POST", **FOREIGN, **{"content-type": "text/plain"}), 415),
        (scope(CHAT, "POST", **FOREIGN, **{"content-type": "Application/JSON; charset=utf-8"}), 200),
        (scope(CHAT, "POST", host="localhost:80", origin="http://localhost:80"), 200),
        (scope("//v1/chat/completions/", "POST", **FOREIGN), 415),
        (scope(CHAT, "POST", **JSON, **{"content-encoding": "gzip"}), 415),
        (scope(CHAT, "POST", **JSON, **{"content-encoding": "identity"}), 200),
        (scope(CHAT, "POST", **JSON, **{"content-length": "11"}), 413),
    ],
)
def test_admission_of_a_server_that_only_this_machine_reaches(request_scope: Scope, status: int) -> None:
    sent: list[Message] = []
    served = service(body_bytes=10, hosts=("Chat.Example.org",))
    call(guarded(stream, served, loopback_only=True), request_scope, sent, [])
    assert sent[0]["status"] == status


@pytest.mark.parametrize("path", ["/models", "//v1/models", "/any/prefix/v1/models/", "/v1/v1/feedback/x"])
def test_keys_protect_all_forms_of_a_path(path: str) -> None:
    sent: list[Message] = []
    call(guarded(stream, service(), ["key"]), scope(path), sent, [])
    assert sent[0]["status"] == 401


def test_slow_bodies_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    async def reader(_scope: Scope, receive: Receive, _send: Send) -> None:
        while (await receive()).get("more_body"):
            pass

    async def one_byte_a_second() -> Message:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b"x", "more_body": True}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    middleware = guarded(reader, service(request_seconds=0.2))
    asyncio.run(middleware(scope(CHAT, "POST", **JSON), one_byte_a_second, send))
    assert sent[0]["status"] == 408
    assert dict(sent[0]["headers"])[b"connection"] == b"close"


def test_clients_that_do_not_read_are_given_up(access_log: list[str]) -> None:
    async def stuck(_message: Message) -> None:
        await asyncio.sleep(60)

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    served = service(request_seconds=0.1)
    asyncio.run(guarded(stream, served)(scope(), receive, stuck))
    assert "does not read" in access_log[0] and served.active_requests == 0


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/models", "/v1/models"),
        ("/v1/models/", "/v1/models"),
        ("/models", "/v1/models"),
        ("//v1//models", "/v1/models"),
        ("/v1/v1/models", "/v1/models"),
        ("/openai/v1/chat/completions", "/v1/chat/completions"),
        ("/chat/completions/", "/v1/chat/completions"),
        ("/api/chat/completions", "/v1/chat/completions"),
        ("/completions", "/v1/completions"),
        ("/v1/models/org/name", "/v1/models/org/name"),
        ("/v1/models/models", "/v1/models/models"),
        ("/v1/feedback/chatcmpl-1", "/v1/feedback/chatcmpl-1"),
        ("/", "/"),
        ("/v1", "/v1"),
        ("/static/main.js", "/static/main.js"),
        ("/health/ready", "/health/ready"),
        ("/v1/modelsx", "/v1/modelsx"),
        ("/v1/embeddings", "/v1/embeddings"),
    ],
)
def test_variants_of_paths(path: str, expected: str) -> None:
    assert canonical_path(path) == expected

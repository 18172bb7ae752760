"""What holds for every request, whatever it asks: who may, how long, under which name it is logged."""

import logging
import time
import uuid
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import ApiError
from serve.service import Service

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Headers of every response that does not set them itself."""
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")

log = logging.getLogger("serve.access")


class Front:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, count it and log it, without a word of its text."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 499
        request_id = uuid.uuid4().hex

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in SECURITY.items():
                    headers.setdefault(name, value)
            await send(message)

        self._service.active += 1
        try:
            try:
                self._admit(scope)
                await self._app(scope, self._bounded(receive), named)
            except ApiError as error:
                await error.response()(scope, receive, named)
        finally:
            self._service.active -= 1
            self._note(scope, status, time.perf_counter() - began, request_id)

    def _admit(self, scope: Scope) -> None:
        """Refuse who has no key, pages of other sites, and bodies that are too long or no JSON."""
        headers = Headers(scope=scope)
        api = scope["path"].startswith("/v1/") and scope["method"] != "OPTIONS"
        if not self._service.keys and self._service.local and not _local(headers.get("host", "")):
            raise ApiError(403, "without API keys only this machine is served, by its own name", "host")
        if api and not self._service.keys.admit(headers.get("authorization", "")):
            raise ApiError(
                401,
                "no valid API key; send one as Authorization: Bearer KEY",
                "invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if api and scope["method"] == "POST":
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                message = f"content type {kind or 'missing'}: send JSON with Content-Type: application/json"
                raise ApiError(415, message, "content_type")
            length = headers.get("content-length", "")
            self._refuse_length(int(length) if length.isdecimal() else 0)

    def _bounded(self, receive: Receive) -> Receive:
        """``receive`` that refuses a body once it is too long, whatever its headers say."""
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            self._refuse_length(read)
            return message

        return bounded

    def _refuse_length(self, length: int) -> None:
        most = self._service.settings.body_bytes
        if length > most:
            raise ApiError(413, f"the body has more than {most} bytes; send a shorter one", "body_too_large")

    def _note(self, scope: MutableMapping[str, Any], status: int, seconds: float, request_id: str) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self._service.metrics.requests.labels(route, status).inc()
        self._service.metrics.duration.labels(route).observe(seconds)
        level = logging.DEBUG if route.startswith(("/health", "/metrics", "/static")) else logging.INFO
        log.log(level, "%s %s %d %.0f ms %s", scope["method"], route, status, 1000 * seconds, request_id)


def _local(host: str) -> bool:
    """Whether a Host header names this machine; other names come from pages that were led astray."""
    return host.rpartition(":")[0] in LOCAL_NAMES or host in LOCAL_NAMES

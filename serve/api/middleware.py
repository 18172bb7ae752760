"""Middleware around all routes: API keys, size limits, security headers, request ids, metrics, access log."""

import logging
import time
import uuid
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.api.errors import ApiError
from serve.api.keys import ApiKeys
from serve.service import Service

CLIENT_CLOSED_REQUEST = 499
"""Status of requests that end without a response, as in nginx's log."""
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Headers of every response that does not set them itself."""
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
QUIET_ROUTES = ("/health", "/metrics", "/static")
"""Routes that are logged at level DEBUG."""

log = logging.getLogger("serve.access")


@dataclass
class _Exchange:
    """One request and the progress of its response."""

    scope: Scope
    request_id: str
    started: float
    """``time.perf_counter`` at the request's arrival."""
    status: int = CLIENT_CLOSED_REQUEST
    recorded: bool = False


class RequestMiddleware:
    """ASGI middleware that admits, limits, counts and logs requests.

    The access line and the metrics are written before the last part of a response is sent, so that a client
    that has read the response can rely on them.
    """

    def __init__(self, app: ASGIApp, service: Service, keys: ApiKeys, *, loopback_only: bool) -> None:
        self._app = app
        self._service = service
        self._keys = keys
        self._loopback_only = loopback_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. No text of requests or responses is logged."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, uuid.uuid4().hex, time.perf_counter())

        async def observed_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                _add_headers(message, exchange.request_id)
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                self._record(exchange)
            await send(message)

        self._service.active_requests += 1
        try:
            try:
                self._admit(scope)
                await self._app(scope, self._limited(receive), observed_send)
            except ApiError as error:
                await error.response()(scope, receive, observed_send)
        finally:
            self._service.active_requests -= 1
            self._record(exchange)

    def _admit(self, scope: Scope) -> None:
        """Raise :class:`ApiError` for a foreign host name, an invalid key, or a body too long or not JSON."""
        headers = Headers(scope=scope)
        is_api = scope["path"].startswith("/v1/") and scope["method"] != "OPTIONS"
        if not self._keys and self._loopback_only and not _is_loopback(headers.get("host", "")):
            message = "this server has no API keys and serves only this machine; use the host name localhost"
            raise ApiError(403, message, "host")
        if is_api and not self._keys.accept(headers.get("authorization", "")):
            raise ApiError(
                401,
                "missing or invalid API key; send one as Authorization: Bearer KEY",
                "invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if is_api and scope["method"] == "POST":
            content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
            if content_type != "application/json":
                message = (
                    f"content type {content_type or 'missing'}: send JSON with Content-Type: application/json"
                )
                raise ApiError(415, message, "content_type")
            length = headers.get("content-length", "")
            self._check_length(int(length) if length.isdecimal() else 0)

    def _limited(self, receive: Receive) -> Receive:
        """Return a ``receive`` that rejects a body as soon as it is too long, regardless of its headers."""
        length = 0

        async def limited() -> Message:
            nonlocal length
            message = await receive()
            length += len(message.get("body", b""))
            self._check_length(length)
            return message

        return limited

    def _check_length(self, length: int) -> None:
        limit = self._service.settings.body_bytes
        if length > limit:
            raise ApiError(413, f"the body exceeds {limit} bytes; send a shorter one", "body_too_large")

    def _record(self, exchange: _Exchange) -> None:
        """Count and log a request, once."""
        if exchange.recorded:
            return
        exchange.recorded = True
        seconds = time.perf_counter() - exchange.started
        route = getattr(exchange.scope.get("route"), "path", "other")
        self._service.metrics.requests.labels(route, exchange.status).inc()
        self._service.metrics.duration.labels(route).observe(seconds)
        level = logging.DEBUG if route.startswith(QUIET_ROUTES) else logging.INFO
        method, milliseconds = exchange.scope["method"], 1000 * seconds
        log.log(
            level, "%s %s %d %.0f ms %s", method, route, exchange.status, milliseconds, exchange.request_id
        )


def _add_headers(message: Message, request_id: str) -> None:
    headers = MutableHeaders(scope=message)
    headers["X-Request-Id"] = request_id
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name, value)


def _is_loopback(host: str) -> bool:
    """True if a Host header names this machine; a page that abuses DNS rebinding sends another name."""
    return host.rpartition(":")[0] in LOOPBACK_NAMES or host in LOOPBACK_NAMES

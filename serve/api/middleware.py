"""Middleware around everything else: paths, security headers, request ids, metrics, access log."""

import asyncio
import logging
import time
import uuid
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.api.paths import canonical_path
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
    """ASGI middleware that counts and logs requests.

    The access line and the metrics are written before the last part of a response is sent, so that a client
    that has read the response can rely on them.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. No text of requests or responses is logged."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = {**scope, "path": canonical_path(scope["path"])}
        exchange = _Exchange(scope, uuid.uuid4().hex, time.perf_counter())

        async def observed_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                _add_headers(message, exchange.request_id)
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                self._record(exchange)
            async with asyncio.timeout(self._service.settings.request_seconds):
                await send(message)

        self._service.active_requests += 1
        try:
            await self._app(scope, receive, observed_send)
        except TimeoutError:
            log.info("the client does not read its response %s", exchange.request_id)
        finally:
            self._service.active_requests -= 1
            self._record(exchange)

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

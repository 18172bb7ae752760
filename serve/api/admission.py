"""Admission of requests: host names, API keys, origins, content types and limits of bodies."""

import asyncio
import ipaddress
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.config import ServeConfig
from serve.api.errors import ApiError
from serve.api.keys import ApiKeys

LOCAL_NAMES = ("localhost", "host.docker.internal", "host.containers.internal")
"""Names of this machine; the latter two from within a container."""
MAX_DISCARDED_BYTES = 64_000_000
"""Length up to which a rejected body is read."""


class AdmissionMiddleware:
    """ASGI middleware that rejects requests before they reach a route, and bodies that are too long or slow.

    ``loopback_only``: other machines cannot reach the server. Without API keys it then requires the name of
    this machine as host, since a page that abuses DNS rebinding sends another one.
    """

    def __init__(self, app: ASGIApp, settings: ServeConfig, keys: ApiKeys, *, loopback_only: bool) -> None:
        self._app = app
        self._settings = settings
        self._keys = keys
        self._checks_host = loopback_only and not keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(receive, self._settings)
        try:
            self._admit(scope)
            await self._app(scope, body.receive, send)
        except ApiError as error:
            if "expect" not in Headers(scope=scope):
                await body.discard()
            await error.response()(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        """Raise :class:`ApiError` for a request that is not accepted, from its headers."""
        headers = Headers(scope=scope)
        foreign = [host for host in headers.getlist("host") if not self._is_own_host(host)]
        if self._checks_host and foreign:
            message = (
                f"host {foreign[0]}: this server has no API keys and serves only this machine; use the host "
                "name localhost, or add yours to serve.hosts"
            )
            raise ApiError(403, message, "host")
        if not scope["path"].startswith("/v1/") or scope["method"] == "OPTIONS":
            return
        authorization = headers.get("authorization") or f"Bearer {headers.get('api-key', '')}"
        if not self._keys.accept(authorization):
            raise ApiError(
                401,
                "missing or invalid API key; send one as Authorization: Bearer KEY",
                "invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if scope["method"] == "POST":
            self._check_body(headers)

    def _check_body(self, headers: Headers) -> None:
        """Check the headers that describe a body."""
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if not content_type.endswith("json") and self._is_foreign(headers):
            # Pages of other sites may send such bodies without asking the server first.
            message = (
                f"content type {content_type or 'missing'} from another site: send JSON with Content-Type: "
                "application/json"
            )
            raise ApiError(415, message, "content_type")
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            message = f"content encoding {encoding}: bodies must not be compressed; send plain JSON"
            raise ApiError(415, message, "content_encoding")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._settings.body_bytes:
            raise _too_large(self._settings)

    def _is_own_host(self, host: str) -> bool:
        """True if a Host header names this machine, or is missing, as in no browser's request."""
        name = _host_name(host)
        if not name or name in LOCAL_NAMES or name.endswith(".localhost"):
            return True
        if name in {known.lower() for known in self._settings.hosts}:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return address.is_loopback or address.is_unspecified

    def _is_foreign(self, headers: Headers) -> bool:
        """True if a page of another site sent the request."""
        origin = headers.get("origin", "")
        is_own = urlsplit(origin).netloc == headers.get("host", "")
        return bool(origin) and not is_own and origin not in self._settings.cors_origins


class _Body:
    """The body of a request while it arrives, limited in size and time."""

    def __init__(self, receive: Receive, settings: ServeConfig) -> None:
        self._receive = receive
        self._settings = settings
        self._length = 0
        self._is_complete = False
        self._deadline = asyncio.get_running_loop().time() + settings.request_seconds

    async def receive(self) -> Message:
        """Return the next message. Raises :class:`ApiError` once the body is too long or takes too long."""
        try:
            async with asyncio.timeout_at(None if self._is_complete else self._deadline):
                message = await self._next()
        except TimeoutError:
            text = f"the body was incomplete after {self._settings.request_seconds:g} s; send it faster"
            raise ApiError(408, text, "request_timeout", headers={"Connection": "close"}) from None
        if self._length > self._settings.body_bytes:
            await self.discard()
            raise _too_large(self._settings)
        return message

    async def discard(self) -> None:
        """Read the rest of a rejected body.

        A connection that is closed before is reset, so that the client does not see why.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._deadline):
                while not self._is_complete and self._length < MAX_DISCARDED_BYTES:
                    await self._next()

    async def _next(self) -> Message:
        message = await self._receive()
        self._length += len(message.get("body", b""))
        self._is_complete = not message.get("more_body", False)
        return message


def _too_large(settings: ServeConfig) -> ApiError:
    message = f"the body exceeds {settings.body_bytes} bytes; send a shorter one"
    return ApiError(413, message, "body_too_large")


def _host_name(host: str) -> str:
    """Return the name or address in a Host header, without port, brackets and trailing dot."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return host

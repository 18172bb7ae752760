"""uvicorn's HTTP/1.1 protocol, with what clients need beyond it."""

import asyncio
import json
import re

import httptools
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

MAX_HEAD_BYTES = 65_536
"""Largest request line and headers."""
AUTHORITY = re.compile(rb"\Ahttps?://[^/?#]*", re.IGNORECASE)
"""Scheme and host of a request target in absolute form, as clients send it to proxies."""


class HttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 that ignores offers to upgrade, limits size and time of headers and reports errors in JSON.

    Java's HTTP client offers an upgrade to HTTP/2 with each request. A server may ignore the offer, but the
    parser then skips the body; it is parsed here. Clients of HTTP/1.0 get streams without chunks.
    """

    _head_bytes = 0
    """Bytes of an incomplete head."""
    _in_head = True
    _repeats_head = False
    """True while a head is parsed that was handled before."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """Start to wait for the first request."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection without a request, or with an incomplete one."""
        if self._head_bytes and not self.transport.is_closing():
            text = f"the headers were incomplete after {self.timeout_keep_alive} s; send them faster"
            self._reject(408, text, "request_timeout")
        else:
            super().timeout_keep_alive_handler()

    def data_received(self, data: bytes) -> None:
        """Parse data from the client."""
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            cause = " ".join(str(error).split())
            self.logger.warning("Invalid HTTP request received: %s", cause)
            text = f"the request is not HTTP/1.1 ({cause}); check the address and the client"
            self._reject(400, text, "invalid_http")

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if body := self._body_header():
                self._expect_body(body)
            if rest := data[upgrade.args[0] :]:
                self._feed(rest)
        self._head_bytes = self._head_bytes + len(data) if self._in_head else 0
        if self._head_bytes > MAX_HEAD_BYTES:
            raise httptools.HttpParserError(f"headers of more than {MAX_HEAD_BYTES} bytes")

    def _body_header(self) -> bytes:
        """Return the header that describes the body of the current request; empty if there is none."""
        headers = dict(self.headers)
        if b"chunked" in headers.get(b"transfer-encoding", b"").lower():
            return b"Transfer-Encoding: chunked"
        length = headers.get(b"content-length", b"0")
        return b"" if length.strip() == b"0" else b"Content-Length: " + length

    def _expect_body(self, header: bytes) -> None:
        """Parse the following data as the body of the current request."""
        self.parser = httptools.HttpRequestParser(self)
        self._repeats_head = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n")
        self._repeats_head = False

    def on_message_begin(self) -> None:
        """Start a request."""
        if not self._repeats_head:
            self._in_head = True
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Add to the request's target."""
        if not self._repeats_head:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header."""
        if not self._repeats_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start to handle the request."""
        if not self._repeats_head:
            self._in_head = False
            self._unset_keepalive_if_required()
            self.url = b"/" + AUTHORITY.sub(b"", self.url).removeprefix(b"/")
            super().on_headers_complete()
            if self.scope["http_version"] == "1.0":
                self.cycle.__class__ = _UnframedResponse  # uvicorn creates the cycle and starts to run it

    def on_message_complete(self) -> None:
        """End the request, unless its body follows after an offer to upgrade."""
        if not (self.parser.should_upgrade() and self._body_header()):
            super().on_message_complete()

    def _reject(self, status: int, message: str, code: str) -> None:
        """Send an error in the API's format and close the connection."""
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
        body = json.dumps({"error": error}).encode()
        head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head.encode() + body)
        self.transport.close()


class _UnframedResponse(RequestResponseCycle):
    """A response that ends with its connection, for HTTP/1.0, which has no chunks."""

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the response without a frame around it."""
        self.chunked_encoding = False
        if message["type"] == "http.response.body":
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)

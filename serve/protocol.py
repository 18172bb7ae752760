"""uvicorn's HTTP/1.1 protocol, with what clients need beyond it."""

import json

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 65_536
"""Largest request line and headers."""


class HttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 that ignores offers to upgrade, limits the size of headers and reports errors in JSON.

    Java's HTTP client offers an upgrade to HTTP/2 with each request. A server may ignore the offer, but the
    parser then skips the body; it is parsed here.
    """

    _head_bytes = 0
    """Bytes of an incomplete head."""
    _in_head = True
    _repeats_head = False
    """True while a head is parsed that was handled before."""

    def data_received(self, data: bytes) -> None:
        """Parse data from the client."""
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("the request is not HTTP/1.1; check the address and the client")

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
            raise httptools.HttpParserError

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
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End the request, unless its body follows after an offer to upgrade."""
        if not (self.parser.should_upgrade() and self._body_header()):
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Send an error in the API's format and close the connection."""
        error = {"message": msg, "type": "invalid_request_error", "param": None, "code": "invalid_http"}
        body = json.dumps({"error": error}).encode()
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

"""A web server on loopback that supports byte ranges and records its responses."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Response:
    """A response: the request's method and path, and the first byte and number of bytes sent."""

    method: str
    path: str
    start: int
    length: int


@dataclass
class WebServer:
    """A running server: its address and its responses so far."""

    url: str
    responses: list[Response] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Number of file bytes sent."""
        return sum(response.length for response in self.responses)


@contextmanager
def web_server(
    folder: Path,
    *,
    ranges: bool = True,
    send: Callable[[str, bytes], bytes] = lambda _, content: content,
    errors: Mapping[str, int] = MappingProxyType({}),
) -> Iterator[WebServer]:
    """Serve the files below ``folder``. Without ``ranges``, Range headers are ignored.

    ``send(path, content)`` returns the bytes that are sent, before the end if they are fewer; if it raises
    :class:`ConnectionError`, the connection is closed instead. ``errors`` are the status of paths that fail.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._respond(b"")

        def do_GET(self) -> None:
            self._respond(None)

        def log_message(self, *_: object) -> None:
            """Disable the request log."""

        def _respond(self, body: bytes | None) -> None:
            path = folder / unquote(urlsplit(self.path).path).lstrip("/")
            if not path.is_file():
                self.send_error(errors.get(self.path, 404))
                return
            data = path.read_bytes()
            first, last = self._range(len(data))
            if first >= len(data) > 0:
                self.send_error(416)
                return
            try:
                content = send(self.path, data[first:last]) if body is None else body
            except ConnectionError:
                self.close_connection = True
                return
            web.responses.append(Response(self.command, self.path, first, len(content)))
            self.send_response(206 if (first, last) != (0, len(data)) else 200)
            self.send_header("Content-Length", str(last - first))
            self.send_header("Content-Range", f"bytes {first}-{last - 1}/{len(data)}")
            self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
            self.end_headers()
            self.wfile.write(content)
            if body is None and len(content) < last - first:
                self.close_connection = True  # the client would wait for the rest

        def _range(self, size: int) -> tuple[int, int]:
            header = self.headers.get("Range") if ranges else None
            if not header:
                return 0, size
            first, _, last = header.removeprefix("bytes=").partition("-")
            return int(first), min(int(last) + 1, size) if last else size

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        web = WebServer(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            thread.join()

"""A web server on loopback that answers byte ranges and remembers what it was asked."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Answer:
    """One answered request: how many bytes of the file went out, from which on."""

    method: str
    path: str
    start: int
    length: int


@dataclass
class Web:
    """Where it listens, and what it answered so far."""

    url: str
    answers: list[Answer] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Bytes of files that went out."""
        return sum(answer.length for answer in self.answers)


@contextmanager
def web_server(folder: Path, *, ranges: bool = True) -> Iterator[Web]:
    """Serve the files below ``folder``; without ``ranges`` each is answered whole."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(b"")

        def do_GET(self) -> None:
            self._answer(None)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

        def _answer(self, body: bytes | None) -> None:
            path = folder / unquote(urlsplit(self.path).path).lstrip("/")
            if not path.is_file():
                self.send_error(404)
                return
            data = path.read_bytes()
            first, last = self._range(len(data))
            if first >= len(data) > 0:
                self.send_error(416)
                return
            piece = data[first:last] if body is None else body
            web.answers.append(Answer(self.command, self.path, first, len(piece)))
            self.send_response(206 if (first, last) != (0, len(data)) else 200)
            self.send_header("Content-Length", str(last - first))
            self.send_header("Content-Range", f"bytes {first}-{last - 1}/{len(data)}")
            self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
            self.end_headers()
            self.wfile.write(piece)

        def _range(self, size: int) -> tuple[int, int]:
            asked = self.headers.get("Range") if ranges else None
            if not asked:
                return 0, size
            first, _, last = asked.removeprefix("bytes=").partition("-")
            return int(first), min(int(last) + 1, size) if last else size

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        web = Web(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            thread.join()

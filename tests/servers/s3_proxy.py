"""An S3 server on loopback that does not support conditional requests: it passes all others on to another."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Condition = Literal["ignored", "refused", "invalid"]
CONDITIONS = ("if-none-match", "if-match")
REFUSAL = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{}</Code><Message>A header you provided implies '
    "functionality that is not implemented</Message></Error>"
)
CODES = {"refused": (501, "NotImplemented"), "invalid": (400, "InvalidArgument")}


@contextmanager
def s3_proxy(condition: Condition) -> Iterator[str]:
    """Serve what the server in ``AWS_ENDPOINT_URL`` has; yield the address."""
    behind = urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Disable the request log."""

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            conditional = self.command in ("PUT", "DELETE") and any(map(self.headers.get, CONDITIONS))
            if conditional and condition in CODES:
                status, code = CODES[condition]
                self._answer(status, [], REFUSAL.format(code).encode())
                return
            headers = {key: value for key, value in self.headers.items() if key.lower() not in CONDITIONS}
            connection = HTTPConnection(behind, timeout=60)
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            self._answer(response.status, response.getheaders(), response.read())
            connection.close()

        def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            for key, value in headers:
                if key.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(key, value)
            length = next((v for k, v in headers if k.lower() == "content-length"), str(len(body)))
            self.send_header("Content-Length", length if self.command == "HEAD" else str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._pass_on)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()

"""The part of Kubernetes' API that ``spark-submit`` uses: objects are accepted and recorded, none is run."""

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import yaml


class ApiServer(NamedTuple):
    """A running server."""

    url: str
    objects: list[dict[str, Any]]
    """What clients have created, in order."""


@contextmanager
def api_server() -> Iterator[ApiServer]:
    """Run the server on loopback during the block, without encryption and authentication."""
    objects: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound"}
            self._answer(HTTPStatus.NOT_FOUND, {**status, "code": 404})

        def do_POST(self) -> None:
            made = yaml.safe_load(self.rfile.read(int(self.headers["Content-Length"])))
            objects.append(made)
            given = {"uid": str(uuid.uuid4()), "resourceVersion": "1", "namespace": "default"}
            self._answer(HTTPStatus.CREATED, {**made, "metadata": {**made["metadata"], **given}})

        def do_PATCH(self) -> None:  # server-side apply
            self.do_POST()

        def _answer(self, status: HTTPStatus, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield ApiServer(f"http://127.0.0.1:{server.server_port}", objects)
        finally:
            server.shutdown()
            thread.join()

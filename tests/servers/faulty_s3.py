"""S3 server in this process with injected faults: moto's application behind a list of them."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from core.storage.s3 import S3

BUCKET = "gristmill-faults"
CUT = (0, "")
"""An answer whose body ends in the middle."""
LOST = (-1, "")
"""An error although the request succeeded."""


@dataclass
class Fault:
    """Response to the next request whose line contains ``text``: status and S3 code or body, CUT or LOST."""

    text: str
    answer: tuple[int, str]
    times: float = 1


@dataclass
class FaultyS3:
    """The server: its faults, used up in order, and the requests that it received."""

    root: str = f"s3://{BUCKET}"
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def fail(self, text: str, *answer: Any, times: float = 1) -> None:
        """Let the next ``times`` requests whose line contains ``text`` fail with a status and a code."""
        self.faults.append(Fault(text, answer or CUT, times))
        self.requests.clear()

    def next_answer(self, line: str) -> tuple[int, str] | None:
        """Return the answer to a request that fails."""
        self.requests.append(line)
        for fault in self.faults:
            if fault.times > 0 and fault.text in line:
                fault.times -= 1
                return fault.answer
        return None


class _Quiet(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        """Disable the request log."""


@contextmanager
def faulty_s3() -> Iterator[FaultyS3]:
    """Serve one empty bucket, and set the ``AWS_*`` variables for the server."""
    state, sound = FaultyS3(), DomainDispatcherApplication(create_backend_app)

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        answer = state.next_answer(f"{environ['REQUEST_METHOD']} {environ['RAW_URI']}")
        if answer is None:
            return sound(environ, start)  # type: ignore[no-any-return]  # has no types
        if answer == CUT:
            body = b"".join(sound(environ, start))
            return [body[: len(body) // 2]]
        if answer == LOST:
            b"".join(sound(environ, lambda *_: None))
            answer = (500, "InternalError")
        else:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status, code = answer
        error = f"<Error><Code>{code}</Code><Message>injected fault</Message></Error>"
        body = (code if code.startswith("<") else error).encode()
        start(f"{status} {HTTPStatus(status).phrase}", [("Content-Length", str(len(body)))])
        return [b""] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
            patch.setenv("AWS_ACCESS_KEY_ID", "test")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
            patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            S3.clear_instance_cache()
            fs = S3(use_listings_cache=False)
            fs.mkdir(BUCKET)
            yield state
            state.faults.clear()
            fs.rm(BUCKET, recursive=True)
            S3.clear_instance_cache()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

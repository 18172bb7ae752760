"""HTTP as old, slow and faulty clients speak it, over plain sockets."""

import gzip
import json
import socket
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from model.loading import LoadedModel
from serve import server as serve_server
from tests.serve.client import ServerUrl, chat_body, wait_for
from tests.serve.paced_server import paced_server
from tests.serve.server_process import ServerProcess

pytestmark = pytest.mark.server

BODY = chat_body(temperature=0, max_tokens=3)
STREAM = chat_body(temperature=0, max_tokens=3, stream=True)
CHAT = b"/v1/chat/completions"


def connect(server: ServerUrl) -> socket.socket:
    host, port = urlsplit(server.url).netloc.split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def answer(server: ServerUrl, request: bytes) -> tuple[bytes, bytes]:
    """Return head and body of the answer to a request after which the server closes the connection."""
    with closing(connect(server)) as connection:
        connection.sendall(request)
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
        return head.lower(), body


def post(
    body: bytes = BODY, target: bytes = CHAT, version: bytes = b"1.1", framing: bytes = b"", more: bytes = b""
) -> bytes:
    """Return a request; ``framing`` is the header that describes the body."""
    head = b"POST %b HTTP/%b\r\nHost: localhost\r\nConnection: close\r\n" % (target, version)
    return head + (framing or b"Content-Length: %d" % len(body)) + b"\r\n" + more + b"\r\n" + body


def chunked(parts: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


BYTES = [BODY[index : index + 1] for index in range(len(BODY))]
CHUNKED = b"Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(version=b"1.0"),
        post(target=b"http://localhost:8000" + CHAT),
        post(target=b"HTTP://LOCALHOST" + CHAT + b"?api-version=1"),
        post(target=CHAT + b"/"),
        post(chunked(BYTES), framing=CHUNKED),
        post(chunked([BODY]).replace(b"\r\n", b";x=y\r\n", 1), framing=CHUNKED),
        post(more=b"Content-Encoding: identity\r\n"),
        b"\r\n" + post(),
    ],
    ids=range(8),
)
def test_requests_of_unusual_form_are_answered(server: ServerProcess, request_bytes: bytes) -> None:
    head, body = answer(server, request_bytes)
    assert head.startswith(b"http/1.1 200 ") and b"connection: close" in head, body
    assert json.loads(body)["usage"]["completion_tokens"] == 3


def test_streams_of_http_1_0_have_no_chunks(server: ServerProcess) -> None:
    for more in (b"", b"Connection: keep-alive\r\n"):
        head, body = answer(server, post(STREAM, version=b"1.0", more=more))
        assert b"transfer-encoding" not in head and b"connection: close" in head
        assert body.startswith(b"data: {") and body.endswith(b"\n\ndata: [DONE]\n\n")
    head, body = answer(server, b"GET /health HTTP/1.0\r\n\r\n")
    assert b"content-length: 18" in head and body == b'{"status":"ready"}'


def test_client_that_expects_100_continue_sends_its_body_then(server: ServerProcess) -> None:
    request = post(more=b"Expect: 100-continue\r\n")
    with closing(connect(server)) as connection, connection.makefile("rb") as reader:
        connection.sendall(request[: -len(BODY)])
        assert reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        connection.sendall(BODY)
        assert b"HTTP/1.1 200 OK" in reader.read()
    too_large = post(b"", framing=b"Content-Length: 99999999", more=b"Expect: 100-continue\r\n")
    assert answer(server, too_large)[0].startswith(b"http/1.1 413 ")


@pytest.mark.parametrize(
    ("path", "status", "content_type"),
    [
        ("/", 200, "text/html"),
        ("//", 200, "text/html"),
        ("http://localhost", 200, "text/html"),
        ("/health/", 200, "application/json"),
        ("/metrics/", 200, "text/plain"),
        ("/v1/", 404, "application/json"),
        ("/v1/chat/completions", 405, "application/json"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_head_is_get_without_a_body(
    server: ServerProcess, method: str, path: str, status: int, content_type: str
) -> None:
    request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    head, body = answer(server, request.encode())
    assert head.startswith(b"http/1.1 %d " % status)
    assert b"content-type: " + content_type.encode() in head
    assert bool(body) == (method == "GET")


@pytest.mark.parametrize(
    ("request_bytes", "status", "message"),
    [
        (post().replace(b"POST", b"PUT"), 405, "PUT /v1/chat/completions: use POST"),
        (post(b"").replace(b"POST", b"OPTIONS"), 405, "use POST"),
        (post(b"", target=b"*").replace(b"POST", b"OPTIONS"), 404, "no such path"),
        (post().replace(b"POST", b"BREW"), 400, "Invalid method"),
        (post(target=b"\xc3\xb6"), 400, "is not HTTP/1.1"),
        (post(b"", target=b"localhost:443").replace(b"POST", b"CONNECT"), 404, "no such path"),
        (post(more=b"Host: evil.example\r\n"), 403, "host evil.example"),
        (post(framing=b"Content-Length: -1"), 400, "Content-Length"),
        (post(framing=b"Content-Length: many"), 400, "Content-Length"),
        (post(framing=b"Content-Length: " + b"9" * 30), 400, "Content-Length"),
        (post(more=b"Content-Length: 1\r\n"), 400, "Content-Length"),
        (post(chunked([BODY]), more=b"Transfer-Encoding: chunked\r\n"), 400, "Content-Length"),
        (post(framing=CHUNKED), 400, "chunk size"),
        (post(framing=b"Content-Length: 9"), 400, "not valid JSON"),
        (post(b""), 400, "not valid JSON"),
        (post(gzip.compress(BODY), more=b"Content-Encoding: gzip\r\n"), 415, "must not be compressed"),
        (post(BODY, more=b"Content-Encoding: br\r\n"), 415, "must not be compressed"),
        (post(gzip.compress(BODY)), 400, "not valid JSON"),
        (post(BODY.decode().encode("utf-16")), 400, "not valid JSON"),
        (post(b"x" * 200_000), 413, "exceeds 100000 bytes"),
        (post(chunked([b" " * 10_000] * 20), framing=CHUNKED), 413, "exceeds 100000 bytes"),
        (b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + b"\0" * 60, 400, "is not HTTP/1.1"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "is not HTTP/1.1"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000, 400, "headers of more than 65536 bytes"),
    ],
    ids=range(24),
)
def test_other_requests_are_one_error_in_json(
    server: ServerProcess, request_bytes: bytes, status: int, message: str
) -> None:
    head, body = answer(server, request_bytes)
    assert head.startswith(b"http/1.1 %d " % status), head
    error: dict[str, Any] = json.loads(body)["error"]
    assert message in error["message"] and "\n" not in error["message"]


def test_incomplete_requests_are_ended(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_server, "KEEP_ALIVE_SECONDS", 0.3)
    with paced_server(loaded, request_seconds=0.3) as server:
        assert answer(server, b"") == (b"", b"")
        for request, message in (
            (b"GET / HTTP/1.1\r\nHost: loc", "headers were incomplete"),
            (post(framing=b"Content-Length: 999"), "body was incomplete"),
        ):
            head, body = answer(server, request)
            assert head.startswith(b"http/1.1 408 ") and b"connection: close" in head
            assert message in json.loads(body)["error"]["message"]


def test_connection_of_a_client_that_does_not_read_is_closed(loaded: LoadedModel) -> None:
    with paced_server(loaded, request_seconds=0.5) as server, closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
        connection.sendall(b"GET /static/main.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        wait_for(lambda: server.num_connections == 1)
        wait_for(lambda: server.num_connections == 0)

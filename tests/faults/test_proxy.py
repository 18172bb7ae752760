"""The faulty proxy, before a small web server, and before an S3 server with its Python client."""

import http.client
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest

from tests.faults.proxy import Proxy, proxy
from tests.faults.rules import (
    EXPIRED_TOKEN,
    NO_SUCH_KEY,
    SLOW_DOWN,
    Answer,
    CutRequest,
    CutResponse,
    Delay,
    Rule,
    Throttle,
)

CONTENT = bytes(range(256)) * 400


class _Upstream(ThreadingHTTPServer):
    """Answers GET with ``CONTENT``, in chunks at ``/chunked``, and PUT with the body's size; keeps bodies."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[bytes] = []
        self.hosts: list[str] = []
        self.connections = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Upstream

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def log_message(self, *_: object) -> None:
        """Disable the request log."""

    def do_HEAD(self) -> None:
        self._respond(CONTENT)

    def do_GET(self) -> None:
        self._respond(CONTENT)

    def do_PUT(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:
                self.close_connection = True
                return
        self.server.bodies.append(body)
        self._respond(str(len(body)).encode())

    def _respond(self, body: bytes) -> None:
        self.server.hosts.append(self.headers["Host"])
        self.send_response(200)
        chunked = self.path == "/chunked"
        self.send_header(
            *(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(body))))
        )
        self.end_headers()
        if self.command == "HEAD":
            return
        if chunked:
            parts = [body[first : first + 1000] for first in range(0, len(body), 1000)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])
        self.wfile.write(body)


@pytest.fixture
def upstream() -> Iterator[_Upstream]:
    with _Upstream() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def faulty(upstream: _Upstream) -> Iterator[Proxy]:
    with proxy(f"http://127.0.0.1:{upstream.server_port}") as running:
        yield running


@pytest.fixture
def client(faulty: Proxy) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(urlsplit(faulty.url).netloc, timeout=10)
    yield connection
    connection.close()


def _get(client, path="/file", method="GET"):
    client.request(method, path)
    response = client.getresponse()
    return response.status, response.read()


def _put(client, body, path="/file", **options):
    client.request("PUT", path, body=body, **options)
    response = client.getresponse()
    return response.status, response.read()


def test_requests_are_forwarded_unchanged_over_one_connection(client, faulty, upstream):
    assert _get(client) == (200, CONTENT)
    assert _get(client, "/chunked") == (200, CONTENT)
    assert _get(client, method="HEAD") == (200, b"")
    assert _put(client, CONTENT) == (200, str(len(CONTENT)).encode())
    chunked = iter([CONTENT[:1000], CONTENT[1000:]])
    assert _put(client, chunked, encode_chunked=True, headers={"Transfer-Encoding": "chunked"})[0] == 200
    assert upstream.bodies == [CONTENT, CONTENT]
    assert upstream.connections == 1
    assert set(upstream.hosts) == {urlsplit(faulty.url).netloc}
    assert [each.method for each in faulty.handled] == ["GET", "GET", "HEAD", "PUT", "PUT"]
    assert not faulty.disturbed


def test_body_that_waits_for_the_server_is_forwarded(client, faulty, upstream):
    head = f"PUT /file HTTP/1.1\r\nHost: here\r\nContent-Length: {len(CONTENT)}\r\n"
    client.connect()
    client.sock.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
    assert client.sock.recv(100).startswith(b"HTTP/1.1 100")
    client.sock.sendall(CONTENT)
    assert client.sock.recv(100).startswith(b"HTTP/1.1 200")
    assert upstream.bodies == [CONTENT]
    faulty.disturb(Rule(SLOW_DOWN))
    client.sock.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
    client.sock.recv(1000)  # the rest of the response before, or the permission to send
    client.sock.sendall(CONTENT)
    received = b""
    while b"</Error>" not in received:
        received += client.sock.recv(1000)
    assert b"503 SlowDown" in received and upstream.bodies == [CONTENT]


@pytest.mark.parametrize("action", [SLOW_DOWN, EXPIRED_TOKEN, NO_SUCH_KEY], ids=str)
def test_answers_are_errors_of_s3_and_keep_the_connection(client, faulty, upstream, action: Answer):
    faulty.disturb(Rule(action, times=1))
    status, body = _put(client, CONTENT)
    error = ElementTree.fromstring(body)
    assert (status, error.findtext("Code"), error.findtext("Resource")) == (
        action.status,
        action.code,
        "/file",
    )
    assert upstream.bodies == []
    assert _put(client, CONTENT)[0] == 200
    faulty.disturb(Rule(action, method="HEAD"))
    assert _get(client, method="HEAD") == (action.status, b"")
    assert [str(each.action) for each in faulty.disturbed] == [f"{action.status} {action.code}"]


def test_rules_choose_by_method_path_number_and_share(client, faulty):
    faulty.disturb(Rule(SLOW_DOWN, method="GET|HEAD", path=r"/data/.*\.gz", first=2, times=2))
    answers = [_get(client, "/data/a.gz")[0] for _ in range(5)]
    assert answers == [200, 503, 503, 200, 200]
    assert _get(client, "/else/a.gz")[0] == _put(client, b"x", "/data/a.gz")[0] == 200

    def shared(seed):
        faulty.disturb(Rule(SLOW_DOWN, share=0.5, seed=seed))
        return [_get(client)[0] for _ in range(20)]

    assert shared(1) == shared(1) != shared(2)
    assert set(shared(1)) == {200, 503}


def test_object_is_missing_for_some_time_after_it_is_written(client, faulty):
    faulty.disturb(Rule(NO_SUCH_KEY, method="GET", seconds_after_put=30.0))
    assert _get(client)[0] == 200
    _put(client, b"x")
    assert _get(client)[0] == 404
    assert _get(client, "/other")[0] == 200
    faulty.disturb(Rule(NO_SUCH_KEY, method="GET", seconds_after_put=0.1))
    time.sleep(0.2)
    assert _get(client)[0] == 200


@pytest.mark.parametrize("sent", [None, 0, 100, 10**9])
def test_cut_requests_do_not_take_effect(client, faulty, upstream, sent):
    faulty.disturb(Rule(CutRequest(sent)))
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        _put(client, CONTENT)
    assert upstream.bodies == []
    faulty.disturb()
    client.close()
    assert _put(client, CONTENT)[0] == 200


def test_lost_responses_have_taken_effect(client, faulty, upstream):
    faulty.disturb(Rule(CutResponse()))
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        _put(client, CONTENT)
    assert upstream.bodies == [CONTENT]


@pytest.mark.parametrize("path", ["/file", "/chunked"])
@pytest.mark.parametrize("sent", [0, 5000, 10**9])
def test_cut_responses_end_in_the_middle_of_the_body(client, faulty, path, sent):
    faulty.disturb(Rule(CutResponse(sent)))
    client.request("GET", path)
    response, received = client.getresponse(), b""
    with pytest.raises((ConnectionError, http.client.IncompleteRead)):
        while True:
            received += response.read(100)
    assert CONTENT.startswith(received)
    assert len(received) < len(CONTENT) or path == "/chunked"  # only the chunk that ends the body is missing
    assert sent != 5000 or 4000 <= len(received) <= 5000


def test_delayed_and_throttled_responses_are_complete(client, faulty):
    for action in (Delay(0.3), Throttle(len(CONTENT) * 3)):
        faulty.disturb(Rule(action))
        started = time.monotonic()
        assert _get(client) == (200, CONTENT)
        assert 0.25 < time.monotonic() - started < 5

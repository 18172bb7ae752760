"""No request can end, delay or change the answer to another, whatever it asks and its client does."""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch

from model import loading
from model.generation import Sampler
from model.loading import LoadedModel
from serve.text import Detokenizer
from tests.serve.client import ServerUrl, chat_body, start_stream, wait_for
from tests.serve.paced_server import PacedServer, paced_server
from tests.serve.server_process import CONTEXT, ServerProcess

pytestmark = pytest.mark.server

INNOCENT = chat_body(max_tokens=200, temperature=0.8, seed=3, stream=True)
VARYING = re.compile(rb'"id":"[^"]*","created":\d+')
JSON = {"Content-Type": "application/json"}


class Stream:
    """A stream of the innocent client, read in a thread."""

    def __init__(self, server: ServerUrl) -> None:
        self._connection = HTTPConnection(urlsplit(server.url).netloc, timeout=120)
        self._connection.request("POST", "/v1/chat/completions", INNOCENT, JSON)
        self._response = self._connection.getresponse()
        self._head = self._response.read(200)

    def rest(self) -> bytes:
        """Return all bytes, without ids and times."""
        with closing(self._connection):
            return VARYING.sub(b"", self._head + self._response.read())


def alone(server: ServerUrl) -> bytes:
    return Stream(server).rest()


def completion(**parameters: Any) -> bytes:
    return json.dumps({"model": "tiny", "prompt": "x", "max_tokens": 20, **parameters}).encode()


def question(text: str, **parameters: Any) -> bytes:
    return chat_body(messages=[{"role": "user", "content": text}], **parameters)


TINY = [5e-324, 1e-45, 1e-40, 1e-30, 1e-6]
HOSTILE: list[tuple[bytes, int]] = [
    *((chat_body(temperature=each, max_tokens=20), 200) for each in TINY),
    *((chat_body(temperature=each, top_p=0.5, top_k=5, max_tokens=20), 200) for each in TINY[:3]),
    (chat_body(top_p=5e-324, max_tokens=20), 200),
    (chat_body(top_p=0, max_tokens=20), 200),
    (chat_body(top_k=10**18, seed=10**40, max_tokens=20), 200),
    (chat_body(top_k=10**30, seed=-(10**40), max_tokens=20), 200),
    (chat_body(max_tokens=1e18, stop=["a"]), 200),
    (chat_body(presence_penalty=2, frequency_penalty=-2, max_tokens=50), 200),
    (chat_body(presence_penalty=-2.0, frequency_penalty=2.0, max_tokens=50, temperature=0), 200),
    (chat_body(logit_bias={str(token): 100 for token in range(250)}, max_tokens=20), 200),
    (chat_body(logit_bias={str(token): -100 for token in range(258)}, max_tokens=20), 200),
    (chat_body(logprobs=True, top_logprobs=20, max_tokens=50, n=3), 200),
    (chat_body(stop=[chr(65 + each) * 200 for each in range(64)], max_tokens=50), 200),
    (chat_body(n=40, max_tokens=5), 200),
    (completion(prompt=["x" * each for each in range(1, 61)], max_tokens=2), 200),
    (completion(prompt="x" * (CONTEXT - 1), max_tokens=100), 200),
    (completion(prompt="x" * (CONTEXT - 1), max_tokens=0, echo=True, logprobs=20), 200),
    (completion(prompt="x" * CONTEXT), 400),
    (question("x" * 90_000), 400),
    (question("\0\u2028\ufffe" * 300, max_tokens=20), 200),
    (chat_body(messages=[{"role": "user", "content": ""}] * 2000), 400),
    (
        chat_body(messages=[{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}] * 900),
        400,
    ),
    (chat_body(temperature=1e308), 400),
    (chat_body(stop=["x"] * 1000), 400),
    (chat_body().replace(b'"max_tokens": 1', b'"temperature": NaN'), 400),
    (chat_body().replace(b'"max_tokens": 1', b'"seed": ' + b"9" * 5000), 400),
    (chat_body().replace(b'"hi"', b'"\\ud83d"'), 400),
    (chat_body().replace(b'"hi"', b'"\xff\xfe"'), 400),
    (chat_body().replace(b'"hi"', b"[" * 20_000 + b"]" * 20_000), 400),
    (b"[" * 99_000, 400),
    (b'{"a":' * 19_000, 400),
    (b"\0" * 99_000, 400),
    (b"x" * 3_000_000, 413),
]


def send(server: ServerUrl, body: bytes) -> int:
    path = "/v1/completions" if b'"prompt"' in body else "/v1/chat/completions"
    return server.post(body, path)[0]


@pytest.fixture(scope="module")
def expected(server: ServerProcess) -> bytes:
    text = alone(server)
    assert text.count(b'"content"') > 30 and text.endswith(b"data: [DONE]\n\n")
    return text


@pytest.mark.parametrize(("body", "status"), HOSTILE, ids=range(len(HOSTILE)))
def test_stream_beside_a_hostile_request_is_unchanged(
    server: ServerProcess, expected: bytes, body: bytes, status: int
) -> None:
    stream = Stream(server)
    assert send(server, body) == status
    assert stream.rest() == expected


def connect(server: ServerUrl) -> socket.socket:
    host, port = urlsplit(server.url).netloc.split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def head(length: int, *more: str) -> bytes:
    lines = ["POST /v1/chat/completions HTTP/1.1", "Host: localhost", f"Content-Length: {length}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


LONG = question("x" * (CONTEXT - 700), max_tokens=600, temperature=0, stream=True)


def reads_nothing(connection: socket.socket) -> None:
    connection.sendall(head(len(LONG)) + LONG)


def disconnects_in_the_prompt(connection: socket.socket) -> None:
    connection.sendall(head(len(LONG)) + LONG)
    connection.close()


def disconnects_in_the_answer(connection: socket.socket) -> None:
    body = chat_body(max_tokens=500, stream=True)
    connection.sendall(head(len(body)) + body)
    assert connection.recv(1000)
    connection.close()


def disconnects_in_its_body(connection: socket.socket) -> None:
    connection.sendall(head(len(LONG)) + LONG[:1000])
    connection.close()


def sends_its_body_byte_by_byte(connection: socket.socket) -> None:
    connection.sendall(head(500))
    for _ in range(20):
        connection.sendall(b" ")


def sends_endless_headers(connection: socket.socket) -> None:
    connection.sendall(b"GET / HTTP/1.1\r\n")
    with pytest.raises(OSError):
        for _ in range(10_000):
            connection.sendall(b"X-Header: " + b"x" * 1000 + b"\r\n")


def sends_garbage(connection: socket.socket) -> None:
    connection.sendall(bytes(range(256)) * 10)


BEHAVIORS: list[Callable[[socket.socket], None]] = [
    reads_nothing, disconnects_in_the_prompt, disconnects_in_the_answer, disconnects_in_its_body,
    sends_its_body_byte_by_byte, sends_endless_headers, sends_garbage,
]  # fmt: skip


@pytest.mark.parametrize("behave", BEHAVIORS)
def test_stream_beside_a_hostile_client_is_unchanged(
    server: ServerProcess, expected: bytes, behave: Callable[[socket.socket], None]
) -> None:
    stream = Stream(server)
    with closing(connect(server)) as connection:
        behave(connection)
        assert stream.rest() == expected
    wait_for(lambda: server.metric("requests_running") + server.metric("requests_waiting") == 0)


@pytest.fixture(scope="module")
def damaged(tiny_model: Any) -> LoadedModel:
    """The tiny model, with an embedding of ``!`` that is not finite."""
    loaded = loading.load(str(tiny_model))
    with torch.no_grad():
        loaded.model.embedding.weight[loaded.tokenizer.encode("!")] = torch.nan
    return loaded


@pytest.fixture(scope="module")
def in_process(damaged: LoadedModel) -> Iterator[PacedServer]:
    with paced_server(damaged, safety=False) as server:
        server.batcher.permit_all()
        yield server


def fail_in_sampling(patch: pytest.MonkeyPatch) -> None:
    sample = Sampler.sample

    def failing(self: Sampler, logits: torch.Tensor) -> int:
        if self.sampling.seed == 666:
            raise RuntimeError("broken sampling")
        return sample(self, logits)

    patch.setattr(Sampler, "sample", failing)


def fail_in_decoding(patch: pytest.MonkeyPatch) -> None:
    push = Detokenizer.push

    def failing(self: Detokenizer, token: int) -> str:
        if token == self._tokenizer.encode("?")[0]:
            raise RuntimeError("broken text")
        return push(self, token)

    patch.setattr(Detokenizer, "push", failing)


def question_mark() -> dict[str, Any]:
    """Return parameters of an answer that consists of question marks."""
    return {"logit_bias": {"30": 100}, "temperature": 0}


FAILURES: list[tuple[Callable[[pytest.MonkeyPatch], None], dict[str, Any], str]] = [
    (lambda _: None, {"messages": [{"role": "user", "content": "What!"}]}, "model_failed"),
    (fail_in_sampling, {"seed": 666}, "model_failed"),
    (fail_in_decoding, question_mark(), "internal_error"),
]


@pytest.mark.parametrize(("patch_server", "parameters", "code"), FAILURES)
@pytest.mark.parametrize("stream", [True, False])
def test_failure_of_one_request_ends_only_that_one(
    in_process: PacedServer,
    monkeypatch: pytest.MonkeyPatch,
    patch_server: Callable[[pytest.MonkeyPatch], None],
    parameters: dict[str, Any],
    code: str,
    stream: bool,
) -> None:
    expected = alone(in_process)
    patch_server(monkeypatch)
    innocent = Stream(in_process)
    body = chat_body(max_tokens=10, stream=stream, **parameters)
    with closing(HTTPConnection(urlsplit(in_process.url).netloc, timeout=60)) as connection:
        connection.request("POST", "/v1/chat/completions", body, JSON)
        response = connection.getresponse()
        text = response.read().decode()
    assert response.status == (200 if stream else 500)
    last = text.rstrip().rpartition("\n")[2].removeprefix("data: ")
    assert json.loads(last)["error"]["code"] == code
    assert innocent.rest() == expected
    wait_for(lambda: in_process.metric("requests_running") == 0)


def test_request_with_many_answers_takes_its_share_of_the_slots(loaded: LoadedModel) -> None:
    with paced_server(loaded, slots=4, queue=2, safety=False) as server, server.client() as client:
        results: list[int] = []
        many = threading.Thread(target=lambda: results.append(send(server, chat_body(n=9, max_tokens=5))))
        many.start()
        wait_for(lambda: server.metric("requests_running") == 2)
        other = start_stream(client, 5)
        wait_for(lambda: server.metric("requests_running") == 3)
        assert server.metric("requests_waiting") == 0
        server.batcher.permit_all()
        assert list(other)[-1].choices[0].finish_reason == "length"
        many.join()
        assert results == [200]


def test_finished_answers_that_nobody_reads_occupy_no_place(loaded: LoadedModel) -> None:
    with paced_server(loaded, slots=1, queue=0, safety=False) as server:
        server.batcher.permit_all()
        with closing(connect(server)) as connection:
            body = chat_body(max_tokens=500, temperature=0, stream=True)
            connection.sendall(head(len(body)) + body)
            wait_for(lambda: server.metric("answers_total", '{finish_reason="length"}') == 1)
            assert send(server, chat_body()) == 200

"""Streams of events as they are sent."""

import json
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from model.loading import LoadedModel
from serve.api.completions import responses
from tests.serve.client import chat_body
from tests.serve.paced_server import paced_server
from tests.serve.server_process import ServerProcess

pytestmark = pytest.mark.server


def test_events_are_single_ascii_lines_and_not_buffered(server: ServerProcess) -> None:
    # Answers that consist of two bytes of U+2028 and line feeds, as far as the bias allows.
    body = chat_body(stream=True, max_tokens=9, messages=[{"role": "user", "content": "\u2028\x85\r\n水"}])
    echo = json.dumps(
        {"model": "tiny", "prompt": "a\u2028b\x85c\r\n水", "echo": True, "stream": True}
    ).encode()
    for path, data in (("/v1/chat/completions", body), ("/v1/completions", echo)):
        response, text = server.request("POST", path, data)
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["X-Accel-Buffering"] == "no"
        lines = text.decode("ascii").splitlines()
        assert lines[-2:] == ["data: [DONE]", ""] and not any(lines[1::2])
        events = [json.loads(line.removeprefix("data: ")) for line in lines[:-2:2]]
    assert events[0]["choices"][0]["text"] == "a\u2028b\x85c\r\n水"


def test_waiting_streams_send_comments(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "KEEP_ALIVE_SECONDS", 0.05)
    with (
        paced_server(loaded, safety=False) as server,
        closing(HTTPConnection(urlsplit(server.url).netloc, timeout=60)) as connection,
    ):
        connection.request("POST", "/v1/chat/completions", chat_body(stream=True, max_tokens=2))
        response = connection.getresponse()
        while b": keep-alive\n" not in response.readline():
            pass
        server.batcher.permit_all()
        assert response.read().endswith(b"data: [DONE]\n\n")

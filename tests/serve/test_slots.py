"""Slots, queue, time limit and draining, with a model whose pace the test sets."""

import json
from contextlib import closing, nullcontext
from http.client import HTTPConnection
from urllib.parse import urlsplit

import openai
import pytest

from model.loading import LoadedModel
from tests.serve.client import MESSAGES, chat_body, start_stream, wait_for
from tests.serve.paced_server import PacedServer, paced_server

pytestmark = pytest.mark.server

CANCELLED = '{finish_reason="cancelled"}'


def has_one_running_request(server: PacedServer) -> bool:
    return server.metric("requests_running") == 1


@pytest.mark.parametrize("stream", [True, False])
def test_disconnect_frees_the_slot(loaded: LoadedModel, stream: bool) -> None:
    with paced_server(loaded) as server:
        body = chat_body(max_tokens=100, temperature=0, stream=stream)
        with closing(HTTPConnection(urlsplit(server.url).netloc, timeout=120)) as connection:
            connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
            with connection.getresponse() if stream else nullcontext() as response:
                assert not response or response.read(10)
                wait_for(lambda: has_one_running_request(server))
        wait_for(lambda: server.metric("requests_running") == 0)
        wait_for(lambda: server.metric("answers_total", CANCELLED) == 1)


def test_closed_stream_frees_the_slot(loaded: LoadedModel) -> None:
    with paced_server(loaded) as server, server.client() as client:
        stream = start_stream(client, 100)
        wait_for(lambda: has_one_running_request(server))
        stream.close()
        wait_for(lambda: server.metric("requests_running") == 0)


def test_full_queue_rejects_requests(loaded: LoadedModel) -> None:
    with paced_server(loaded, slots=1, queue=1, safety=False) as server, server.client() as client:
        running, waiting = start_stream(client, 50), start_stream(client, 50)
        wait_for(lambda: has_one_running_request(server) and server.metric("requests_waiting") == 1)
        with pytest.raises(openai.RateLimitError) as rejected:
            client.chat.completions.create(model="tiny", messages=MESSAGES)
        assert rejected.value.code == "queue_full"
        assert rejected.value.response.headers["Retry-After"] == "1"
        running.close()
        wait_for(lambda: has_one_running_request(server) and server.metric("requests_waiting") == 0)
        server.batcher.permit_all()
        assert list(waiting)[-1].choices[0].finish_reason == "length"


def test_time_limit_ends_an_answer(loaded: LoadedModel) -> None:
    with paced_server(loaded, request_seconds=0.2) as server, server.client() as client:
        server.batcher.permit(3)
        completion = client.chat.completions.create(
            model="tiny", messages=MESSAGES, max_tokens=100, temperature=0
        )
        assert completion.choices[0].finish_reason == "length"
        assert completion.usage and completion.usage.completion_tokens <= 3


def test_draining_server_rejects_new_requests_and_finishes_running_ones(loaded: LoadedModel) -> None:
    with paced_server(loaded, safety=False) as server, server.client() as client:
        stream = start_stream(client, 50)
        server.terminate()
        assert not server.is_ready()
        with pytest.raises(openai.InternalServerError) as rejected:
            client.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=1)
        assert (rejected.value.status_code, rejected.value.code) == (503, "draining")
        assert rejected.value.response.headers["Retry-After"] == "1"
        assert json.loads(server.get("/health/live"))["status"] == "live"
        server.batcher.permit_all()
        assert list(stream)[-1].choices[0].finish_reason == "length"
        server.wait()


def test_drain_time_limit_stops_running_requests(loaded: LoadedModel) -> None:
    with paced_server(loaded, drain_seconds=30) as server, server.client() as client:
        stream = start_stream(client, 50)
        server.terminate()
        server.clock.now = 29
        assert json.loads(server.get("/health/live"))["status"] == "live"
        server.clock.now = 31
        server.wait()
        stream.close()


def test_second_signal_stops_at_once(loaded: LoadedModel) -> None:
    with paced_server(loaded, drain_seconds=30) as server, server.client() as client:
        stream = start_stream(client, 50)
        server.terminate()
        server.terminate()
        server.wait()
        stream.close()

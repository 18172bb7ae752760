"""The server as clients meet it: OpenAI's own client against a real process."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, nullcontext
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
from openai import OpenAI

from core.errors import GristmillError
from core.tokenizer.chat import Message
from model import loading
from model.generation import Sampling, generate
from model.loading import LoadedModel
from serve.__main__ import main
from tests.serve.tiny import CONTEXT, Served, serving

pytestmark = pytest.mark.server

GREEDY = Sampling(temperature=0)
ASKED: Any = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Wie geht's? 水車"}]


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> LoadedModel:
    return loading.load(str(tiny_model))


@pytest.fixture
def client(served: Served) -> Iterator[OpenAI]:
    with served.client() as opened:
        yield opened


def expected(loaded: LoadedModel, tokens: int, sampling: Sampling = GREEDY) -> str:
    """What the model says to :data:`ASKED` without any server."""
    turns = [Message(turn["role"], turn["content"]) for turn in ASKED]
    prompt = loaded.chat.prompt(turns)
    return loaded.tokenizer.decode(list(generate(loaded.model, prompt, tokens, sampling, loaded.chat.stop)))


def test_a_chat_is_what_the_model_says(served: Served, client: OpenAI, loaded: LoadedModel) -> None:
    answer = client.chat.completions.create(
        model="tiny", messages=ASKED, max_tokens=40, temperature=0, extra_body={"top_k": 3}
    )
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == "tiny"
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content == expected(loaded, 40)
    turns = [Message(turn["role"], turn["content"]) for turn in ASKED]
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(loaded.chat.prompt(turns))
    assert answer.usage.completion_tokens == 40
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 40


def test_the_seed_decides(client: OpenAI, loaded: LoadedModel) -> None:
    def ask(**more: Any) -> str | None:
        made = client.chat.completions.create(model="tiny", messages=ASKED, max_completion_tokens=30, **more)
        return made.choices[0].message.content

    assert ask(seed=5, top_p=0.9) == expected(loaded, 30, Sampling(1.0, 0, 0.9, 5))
    assert ask(seed=-5) == ask(seed=-5)
    assert ask() != ask()


def test_a_stream_says_the_same(client: OpenAI, loaded: LoadedModel) -> None:
    stream = client.chat.completions.create(
        model="tiny", messages=ASKED, max_tokens=40, temperature=0, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    parts = list(stream)
    assert parts[0].choices[0].delta.role == "assistant"
    text = "".join(part.choices[0].delta.content or "" for part in parts[:-1])
    assert text == expected(loaded, 40)
    assert len(parts) > 5
    assert [part.choices[0].finish_reason for part in parts[:-1]] == [None] * (len(parts) - 2) + ["length"]
    assert parts[-1].choices == []
    assert parts[-1].usage is not None
    assert parts[-1].usage.completion_tokens == 40
    assert len({part.id for part in parts}) == 1


def test_completions_continue_text_and_tokens(client: OpenAI, loaded: LoadedModel) -> None:
    prompt = "Once upon"
    ids = loaded.tokenizer.encode(prompt)
    said = loaded.tokenizer.decode(list(generate(loaded.model, ids, 16, Sampling(temperature=0))))
    for given in (prompt, ids):
        made = client.completions.create(model="tiny", prompt=given, max_tokens=16, temperature=0)
        assert made.choices[0].text == said
        assert made.object == "text_completion"
    stream = client.completions.create(model="tiny", prompt=prompt, max_tokens=16, temperature=0, stream=True)
    assert "".join(part.choices[0].text for part in stream) == said


def test_stop_strings_cut_exactly(client: OpenAI, loaded: LoadedModel) -> None:
    whole = expected(loaded, 60)
    string = whole[20:23]
    for stop in (string, [string, "never there"]):
        stream = client.chat.completions.create(
            model="tiny", messages=ASKED, max_tokens=60, temperature=0, stop=stop, stream=True
        )
        parts = list(stream)
        text = "".join(part.choices[0].delta.content or "" for part in parts)
        assert text == whole[: whole.index(string)]
        assert parts[-1].choices[0].finish_reason == "stop"


def test_models_are_named(client: OpenAI, loaded: LoadedModel) -> None:
    listed = client.models.list().data
    assert [model.id for model in listed] == ["tiny"]
    assert client.models.retrieve("tiny").id == "tiny"
    assert listed[0].model_extra is not None
    assert listed[0].model_extra["sha256"] == loaded.sha256
    assert listed[0].model_extra["context_length"] == CONTEXT
    with pytest.raises(openai.NotFoundError, match="there is no model 'other'"):
        client.models.retrieve("other")


def post(served: Served, body: bytes, path: str = "/v1/chat/completions", **headers: str) -> tuple[int, Any]:
    """Status and JSON of a request that no well-behaved client would send."""
    with closing(HTTPConnection(urlsplit(served.url).netloc, timeout=30)) as connection:
        connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        return response.status, json.loads(response.read()).get("error")


def chat(**more: Any) -> bytes:
    usual = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    return json.dumps({**usual, **more}).encode()


def says(text: str) -> bytes:
    return chat(messages=[{"role": "user", "content": text}])


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"{", 400, "invalid_json", None),
        (b'"\\ud800"', 400, "invalid_json", None),
        (b"[]", 400, "invalid_value", None),
        (chat(bogus=1), 400, "unknown_parameter", "bogus"),
        (chat(n=2), 400, "invalid_value", "n"),
        (chat(logprobs=True), 400, "invalid_value", "logprobs"),
        (chat(temperature=-1), 400, "invalid_value", "temperature"),
        (chat(temperature="1"), 400, "invalid_value", "temperature"),
        (chat(presence_penalty=0.5), 400, "invalid_value", "presence_penalty"),
        (chat(max_tokens=0), 400, "invalid_value", "max_tokens"),
        (chat(stop=["a"] * 5), 400, "invalid_value", "stop"),
        (chat(stop=""), 400, "invalid_value", "stop[0]"),
        (chat(messages=[]), 400, "invalid_value", "messages"),
        (chat(messages=[{"role": "robot", "content": ""}]), 400, "invalid_value", "messages[0].role"),
        (chat(messages=[{"role": "user"}]), 400, "missing_parameter", "messages[0].content"),
        (
            chat(messages=[{"role": "user", "content": [{"type": "image_url"}]}]),
            400, "invalid_value", "messages[0].content",
        ),
        (says("x" * CONTEXT), 400, "context_length_exceeded", "messages"),
        (says("x" * 100_000), 413, "body_too_large", None),
        (chat(model="other"), 404, "model_not_found", "model"),
        (says("Tell me of VOLDEMORT"), 400, "content_filter", None),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(served: Served, body: bytes, status: int, code: str, param: str) -> None:
    found, error = post(served, body)
    assert (found, error["code"], error["param"]) == (status, code, param)
    assert error["message"]


def test_parameters_that_are_off_are_taken(served: Served) -> None:
    off = {"presence_penalty": 0.0, "frequency_penalty": 0, "logprobs": False, "n": 1, "stop": None}
    assert post(served, chat(user="me", seed=None, **off)) == (200, None)


@pytest.mark.parametrize(
    ("more", "param"),
    [({"echo": True}, "echo"), ({"logprobs": 1}, "logprobs"), ({"prompt": [10**6]}, "prompt"),
     ({"prompt": ""}, "prompt"), ({"prompt": [["a"]]}, "prompt"), ({"best_of": 2}, "best_of")],
)  # fmt: skip
def test_what_is_wrong_with_completions(served: Served, more: Any, param: str) -> None:
    body = json.dumps({"model": "tiny", "prompt": "x", **more}).encode()
    status, error = post(served, body, "/v1/completions")
    assert (status, error["param"]) == (400, param)


def test_requests_that_are_none(served: Served) -> None:
    assert post(served, chat(), **{"Content-Type": "text/plain"})[0] == 415
    assert post(served, chat(), Host="evil.example")[0] == 403
    assert post(served, chat(), "/v1/nothing")[0] == 404
    assert post(served, chat(), "/v1/models")[0] == 405


def test_every_response_has_a_name_and_is_guarded(served: Served) -> None:
    with urllib.request.urlopen(f"{served.url}/v1/models") as response:
        headers = response.headers
    assert len(headers["X-Request-Id"]) == 32
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers
    assert headers["X-Request-Id"] in served.log.read_text()


def wait_for(condition: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came so far"
        time.sleep(0.02)


@pytest.mark.parametrize("stream", [True, False])
def test_who_leaves_frees_the_slot(served: Served, stream: bool) -> None:
    long = chat(max_tokens=CONTEXT, temperature=0, stream=stream)
    with closing(HTTPConnection(urlsplit(served.url).netloc, timeout=30)) as connection:
        connection.request("POST", "/v1/chat/completions", long, {"Content-Type": "application/json"})
        with connection.getresponse() if stream else nullcontext() as response:
            assert not response or response.read(10)
            wait_for(lambda: served.metric("requests_running") == 1)
    started = time.monotonic()
    wait_for(lambda: served.metric("requests_running") == 0)
    assert time.monotonic() - started < 2
    assert 'answers_total{finish_reason="cancelled"}' in served.get("/metrics")


def test_a_closed_stream_of_the_client_ends_the_request(served: Served, client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="tiny", messages=ASKED, max_tokens=CONTEXT, temperature=0, stream=True
    )
    for _ in range(3):
        next(iter(stream))
    stream.close()
    wait_for(lambda: served.metric("requests_running") == 0)


def test_answers_can_be_rated(served: Served, client: OpenAI) -> None:
    made = client.chat.completions.create(model="tiny", messages=ASKED, max_tokens=2)
    body = json.dumps({"response_id": made.id, "rating": "up"}).encode()
    request = urllib.request.Request(f"{served.url}/v1/feedback", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        assert json.loads(response.read())["rating"] == "up"
    assert "<html" in served.get("/")


def test_nothing_of_the_text_is_logged(served: Served, client: OpenAI) -> None:
    asked: Any = [{"role": "user", "content": "a secret question"}]
    said = client.chat.completions.create(model="tiny", messages=asked, max_tokens=20, temperature=0)
    log = served.log.read_text()
    assert "secret" not in log
    assert said.choices[0].message.content not in log


def test_many_at_once_get_what_each_gets_alone(client: OpenAI, loaded: LoadedModel) -> None:
    results: dict[int, str | None] = {}

    def ask(tokens: int) -> None:
        made = client.chat.completions.create(model="tiny", messages=ASKED, max_tokens=tokens, temperature=0)
        results[tokens] = made.choices[0].message.content

    threads = [threading.Thread(target=ask, args=(10 * number,)) for number in range(1, 21)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {10 * number: expected(loaded, 10 * number) for number in range(1, 21)}


def asks(client: OpenAI, tokens: int) -> Any:
    """A stream of so many tokens that has begun."""
    stream = client.chat.completions.create(
        model="tiny", messages=ASKED, max_tokens=tokens, temperature=0, stream=True
    )
    assert next(iter(stream)).choices[0].finish_reason is None
    return stream


def test_a_full_queue_refuses_and_a_told_server_finishes(tiny_model: Path, tmp_path: Path) -> None:
    options = ["--set", "serve.slots=1", "--set", "serve.queue=1", "--set", "serve.safety=false"]
    with serving(tiny_model, tmp_path / "server.log", *options) as served, served.client() as client:
        runs, waits = asks(client, CONTEXT), asks(client, 1000)
        wait_for(lambda: served.metric("requests_waiting") == 1)
        with pytest.raises(openai.RateLimitError) as refused:
            client.chat.completions.create(model="tiny", messages=ASKED)
        assert refused.value.code == "queue_full"
        assert refused.value.response.headers["Retry-After"] == "1"
        runs.close()
        wait_for(lambda: served.metric("requests_waiting") == 0)

        served.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not served.is_ready())
        with pytest.raises(openai.InternalServerError) as late:
            client.chat.completions.create(model="tiny", messages=ASKED, max_tokens=1)
        assert (late.value.status_code, late.value.code) == (503, "draining")
        assert json.loads(served.get("/health/live"))["status"] == "live"
        assert list(waits)[-1].choices[0].finish_reason == "length"
        assert served.process.wait(10) == 0


def test_keys_open_the_door_and_time_ends_answers(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_text("from-file # of a friend\n\n", encoding="utf-8")
    options = ["--host", "0.0.0.0", "--set", f"serve.api_keys={tmp_path / 'keys.txt'}"]
    options += ["--set", "serve.request_seconds=0.5", "--set", "serve.drain_seconds=0.1"]
    options += ["--set", "serve.safety=false"]  # which finds something in a long enough babble
    with serving(tiny_model, tmp_path / "server.log", *options, keys="one two") as served:
        for key in ("from-file", "one", "two"):
            with served.client(key) as client:
                assert client.models.list().data
        for key in ("three", "one two", "from-file # of a friend"):
            with (
                served.client(key) as client,
                pytest.raises(openai.AuthenticationError),
            ):
                client.models.list()
        assert post(served, chat(), Host="my.own.name")[0] == 401
        assert served.metric("ready") == 1
        log = (tmp_path / "server.log").read_text()
        assert "Bearer $KEY" in log
        assert "from-file" not in log
        with served.client("one") as client:
            assert list(asks(client, CONTEXT))[-1].choices[0].finish_reason == "length"
            asks(client, CONTEXT)
            served.process.send_signal(signal.SIGTERM)
            assert served.process.wait(10) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "it needs API keys"),
        (["--set", "serve.blocked_words=none.txt"], "serve.blocked_words = none.txt: cannot be read"),
        (["--set", "serve.slots=0"], "serve.slots = 0"),
        (["--set", "serve.slot=1"], "the nearest valid name is serve.slots"),
        (["--set", "serve.api_keys=none.txt"], "serve.api_keys = none.txt: cannot be read"),
        (["--host", "203.0.113.1", "--set", "serve.api_keys=KEYS"], "cannot listen there"),
    ],
)
def test_it_refuses_to_start(options: list[str], message: str, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_text("key", encoding="utf-8")
    options = [option.replace("KEYS", str(tmp_path / "keys.txt")) for option in options]
    with pytest.raises(GristmillError, match=re.escape(message)):
        main(["--model", str(tiny_model), "--port", "0", *options])


def test_without_a_model_it_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "serve", "--model", str(tmp_path / "nowhere"), "--port", "0"]
    command += ["--set", f"serve.feedback={tmp_path / 'feedback.sqlite'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    ours = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(ours) == 1
    assert "nowhere" in ours[0]
    assert not list(tmp_path.iterdir())

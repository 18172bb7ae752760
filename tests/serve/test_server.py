"""The server process: startup, headers and log, API keys, shutdown."""

import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from core.errors import GristmillError, InputError
from serve.__main__ import main
from serve.server import listen
from tests.serve.client import MESSAGES, chat_body, start_stream, wait_for
from tests.serve.server_process import ServerProcess, server_process

pytestmark = pytest.mark.server


def test_invalid_requests_are_rejected(server: ServerProcess) -> None:
    foreign = {"Content-Type": "text/plain", "Origin": "https://evil.example"}
    assert server.post(chat_body(), **foreign)[0] == 415
    assert server.post(chat_body(), Host="evil.example")[0] == 403
    assert server.post(chat_body(), "/v1/nothing")[0] == 404
    assert server.post(chat_body(), "/v1/models")[0] == 405


def test_responses_have_a_request_id_that_is_logged_and_security_headers(server: ServerProcess) -> None:
    with urllib.request.urlopen(f"{server.url}/v1/models") as response:
        headers = response.headers
        response.read()
    assert len(headers["X-Request-Id"]) == 32
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers
    assert headers["X-Request-Id"] in server.log.read_text()


def test_text_of_requests_and_answers_is_not_logged(server: ServerProcess, client: OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "a secret question"}]
    response = client.chat.completions.with_raw_response.create(
        model="tiny", messages=messages, max_tokens=20, temperature=0
    )
    answer = response.parse().choices[0].message.content
    log = server.log.read_text()
    assert response.headers["X-Request-Id"] in log
    assert "secret" not in log
    assert answer and answer not in log


def test_answers_can_be_rated(server: ServerProcess, client: OpenAI) -> None:
    completion = client.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=2)
    body = json.dumps({"response_id": completion.id, "rating": "up"}).encode()
    status, response = server.post(body, "/v1/feedback")
    assert (status, response["rating"]) == (200, "up")


def test_chat_page_is_served(server: ServerProcess) -> None:
    assert "<html" in server.get("/")


def test_api_keys_are_required_from_other_machines(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_text("from-file # of a friend\n\n", encoding="utf-8")
    options = ["--host", "0.0.0.0", "--set", f"serve.api_keys={tmp_path / 'keys.txt'}"]
    with server_process(tiny_model, tmp_path / "server.log", *options, keys="one two") as server:
        for key in ("from-file", "one", "two"):
            with server.client(key) as client:
                assert client.models.list().data
        for key in ("three", "one two", "from-file # of a friend"):
            with server.client(key) as client, pytest.raises(openai.AuthenticationError):
                client.models.list()
        assert server.post(chat_body(), Host="my.own.name")[0] == 401
        assert server.metric("ready") == 1
        wait_for(lambda: "Bearer $KEY" in server.log.read_text())  # printed just after the server is ready
        assert "from-file" not in server.log.read_text()


def test_sigterm_finishes_running_answers(tiny_model: Path, tmp_path: Path) -> None:
    options = ["--set", "serve.drain_seconds=600"]
    with (
        server_process(tiny_model, tmp_path / "server.log", *options) as server,
        server.client() as client,
    ):
        stream = start_stream(client, 300)
        server.process.send_signal(signal.SIGTERM)
        assert list(stream)[-1].choices[0].finish_reason == "length"
        assert server.process.wait(60) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "requires API keys"),
        (["--set", "serve.blocked_words=none.txt"], "serve.blocked_words = none.txt: cannot be read"),
        (["--set", "serve.slots=0"], "serve.slots = 0"),
        (["--set", "serve.slot=1"], "the nearest valid name is serve.slots"),
        (["--set", "serve.api_keys=none.txt"], "serve.api_keys = none.txt: cannot be read"),
        (["--host", "203.0.113.1", "--set", "serve.api_keys=KEYS"], "cannot listen there"),
    ],
)
def test_invalid_options_are_rejected_at_startup(
    options: list[str], message: str, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "keys.txt").write_text("key", encoding="utf-8")
    options = [option.replace("KEYS", str(tmp_path / "keys.txt")) for option in options]
    with pytest.raises(GristmillError, match=re.escape(message)):
        main(["--model", str(tiny_model), "--port", "0", *options])


def test_base_model_says_so_and_continues_text(tiny_model: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    settings = json.loads((base / "tokenizer_config.json").read_text())
    del settings["chat_template"]
    (base / "tokenizer_config.json").write_text(json.dumps(settings))
    options = ["--set", "serve.model_name=mine"]
    with server_process(base, tmp_path / "server.log", *options) as server, server.client() as client:
        wait_for(lambda: "v1/completions -H" in server.log.read_text())
        assert "mine (base): chat page at" in server.log.read_text()
        assert "This is a base model" in server.log.read_text()
        (listed,) = client.models.list().data
        assert listed.model_extra and listed.model_extra["chat"] is False
        with pytest.raises(openai.BadRequestError, match="no chat template"):
            client.chat.completions.create(model="mine", messages=MESSAGES)
        assert client.completions.create(model="mine", prompt="x", max_tokens=2).choices[0].text


def test_dry_run_checks_the_model(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--model", str(tiny_model), "--dry-run"])
    assert json.loads(capsys.readouterr().out)["serve"]["slots"] == 16
    with pytest.raises(InputError, match=r"nowhere: does not exist on this machine; check the path$"):
        main(["--model", str(tmp_path / "nowhere"), "--dry-run"])


def test_addresses_that_cannot_be_used_are_rejected() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(
            InputError, match=rf"^127\.0\.0\.1:{port}: address already in use; choose another --port$"
        ):
            listen("127.0.0.1", port)
    with pytest.raises(InputError, match="a port is a number from 0 to 65535"):
        listen("127.0.0.1", 70_000)
    with pytest.raises(
        InputError, match=r"^no\.host\.invalid:0: cannot listen there: [^(]*; choose another --host"
    ):
        listen("no.host.invalid", 0)


def test_missing_model_is_one_error_and_ends_the_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "serve", "--model", str(tmp_path / "nowhere"), "--port", "0"]
    command += ["--set", f"serve.feedback={tmp_path / 'feedback.sqlite'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "nowhere" in errors[0]
    assert not list(tmp_path.iterdir())

"""Habits of clients: OpenAI's own, LangChain, lm-eval, open-webui, and proxies in between."""

import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
import torch
from openai import OpenAI

from core.tokenizer.chat import Message
from model.loading import LoadedModel
from serve.api.completions import responses
from tests.serve.client import MESSAGES, ServerUrl, chat_body
from tests.serve.paced_server import paced_server
from tests.serve.server_process import CONTEXT, ServerProcess

pytestmark = pytest.mark.server


@pytest.fixture
def client(server: ServerProcess) -> Iterator[OpenAI]:
    with server.client() as opened:
        yield opened


def log_probabilities(loaded: LoadedModel, ids: list[int]) -> torch.Tensor:
    """Return the model's distribution after each token, ``[T, vocabulary]``."""
    with torch.no_grad():
        logits: torch.Tensor = loaded.model(torch.tensor([ids]))[0]
    return logits.log_softmax(dim=1)


def complete(server: ServerUrl, status: int = 200, **parameters: Any) -> dict[str, Any]:
    body = json.dumps({"model": "tiny", "temperature": 0, "max_tokens": 4, **parameters}).encode()
    found, response = server.post(body, "/v1/completions")
    assert found == status, response
    return response


def test_own_answers_are_accepted_in_the_history(client: OpenAI, server: ServerProcess) -> None:
    first = client.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=5)
    history = [*MESSAGES, first.choices[0].message, {"role": "user", "content": "And?"}]
    assert client.chat.completions.create(model="tiny", messages=history, max_tokens=5).choices
    own = server.post(chat_body())[1]["choices"][0]["message"]
    full = own | {"annotations": [], "audio": None, "tool_calls": None, "reasoning_content": "x", "id": "1"}
    for message in (own, full, own | {"content": None}):
        assert server.post(chat_body(messages=[*MESSAGES, message, *MESSAGES[1:]]))[0] == 200


NEUTRAL: list[dict[str, Any]] = [
    {
        "tools": [],
        "tool_choice": "none",
        "parallel_tool_calls": False,
        "functions": [],
        "function_call": "auto",
    },
    {
        "tools": None,
        "tool_choice": None,
        "response_format": None,
        "logit_bias": None,
        "stop": None,
        "n": None,
    },
    {
        "response_format": {"type": "text"},
        "modalities": ["text"],
        "logit_bias": {},
        "stop": "",
        "audio": None,
    },
    {"store": False, "metadata": {}, "service_tier": "auto", "user": "me", "safety_identifier": "x"},
    {"reasoning_effort": "none", "verbosity": "medium", "prompt_cache_key": "k", "prediction": None},
    {
        "top_p": 1,
        "top_k": -1,
        "min_p": 0,
        "repetition_penalty": 1.0,
        "typical_p": 1,
        "seed": None,
        "top_a": 0.0,
    },
    {"presence_penalty": 0.0, "frequency_penalty": 0, "logprobs": False, "top_logprobs": None, "n": 1},
    {"mirostat_mode": 0, "mirostat_tau": 5, "dry_multiplier": 0, "dry_base": 1.75, "xtc_probability": 0},
    {"stream_options": None, "max_completion_tokens": None, "max_tokens": -1, "stop": ["\n", "", None]},
    {"something_new": None, "extra_body": {}, "plugins": [], "label": ""},
    {"min_tokens": 0, "ignore_eos": False, "skip_special_tokens": True, "add_generation_prompt": True},
]


@pytest.mark.parametrize("parameters", NEUTRAL)
def test_neutral_parameters_are_accepted(server: ServerProcess, parameters: dict[str, Any]) -> None:
    body = {"max_completion_tokens": 3, "temperature": 0, **parameters}
    expected = server.post(chat_body(max_tokens=3, temperature=0))[1]["choices"]
    status, response = server.post(chat_body(**{"max_tokens": 3, **body}))
    assert status == 200, response
    if "max_tokens" not in parameters:
        assert response["choices"] == expected


@pytest.mark.parametrize(
    "parameters",
    [
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"tool_choice": "required"},
        {"response_format": {"type": "json_object"}},
        {"min_p": 0.05},
        {"repetition_penalty": 1.1},
        {"reasoning_effort": "high"},
        {"modalities": ["text", "audio"]},
        {"ignore_eos": True},
        {"something_new": 1},
    ],
)
def test_parameters_that_would_change_the_answer_are_refused_by_name(
    server: ServerProcess, parameters: dict[str, Any]
) -> None:
    status, response = server.post(chat_body(**parameters))
    error = response["error"]
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", *parameters)
    assert error["param"] in error["message"] and "\n" not in error["message"]


def test_prompts_may_be_lists_of_texts_and_token_ids(server: ServerProcess, loaded: LoadedModel) -> None:
    prompts: list[Any] = ["Once", "a mill", loaded.tokenizer.encode("stood")]
    single = [complete(server, prompt=prompt)["choices"][0]["text"] for prompt in prompts]
    response = complete(server, prompt=prompts)
    assert [(choice["index"], choice["text"]) for choice in response["choices"]] == list(enumerate(single))
    assert response["usage"] == {"prompt_tokens": 15, "completion_tokens": 12, "total_tokens": 27}
    assert complete(server, prompt=["Once"])["choices"][0]["text"] == single[0]
    assert complete(server, prompt=[prompts[2]])["choices"][0]["text"] == single[2]


def test_several_answers_have_consecutive_seeds(client: OpenAI) -> None:
    def answers(**parameters: Any) -> list[str | None]:
        completion = client.chat.completions.create(
            model="tiny", messages=MESSAGES, max_tokens=20, **parameters
        )
        return [choice.message.content for choice in completion.choices]

    several = answers(n=3, seed=7)
    assert len(set(several)) == 3
    assert several == [*answers(seed=7), *answers(seed=8), *answers(seed=9)]
    chunks = list(
        client.chat.completions.create(
            model="tiny", messages=MESSAGES, max_tokens=20, n=3, seed=7, stream=True,
            stream_options={"include_usage": True},
        )
    )  # fmt: skip
    texts = ["", "", ""]
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == several
    assert chunks[-1].usage and chunks[-1].usage.completion_tokens == 60


def test_likelihoods_of_a_prompt_as_lm_eval_asks(server: ServerProcess, loaded: LoadedModel) -> None:
    prompts = [loaded.tokenizer.encode(text) for text in ("Once upon a mill", "Über é 水", "x")]
    response = complete(server, prompt=prompts, max_tokens=1, logprobs=1, echo=True, seed=1234)
    for prompt, choice in zip(prompts, response["choices"], strict=True):
        scores = choice["logprobs"]
        assert len(scores["tokens"]) == len(prompt) + 1
        assert scores["token_logprobs"][0] is scores["top_logprobs"][0] is None
        distribution = log_probabilities(loaded, prompt)
        for position, token in enumerate(prompt[1:]):
            found = scores["token_logprobs"][position + 1]
            assert found == pytest.approx(float(distribution[position, token]), abs=1e-3)
            best = max(scores["top_logprobs"][position + 1].values())
            assert best == pytest.approx(float(distribution[position].max()), abs=1e-3)
        assert choice["text"].startswith(loaded.tokenizer.decode(prompt))
    only = complete(server, prompt=prompts[0], max_tokens=0, logprobs=0, echo=True)["choices"][0]
    assert only["text"] == "Once upon a mill" and only["finish_reason"] == "length"
    assert len(only["logprobs"]["tokens"]) == 16
    assert only["logprobs"]["text_offset"] == list(range(16))
    assert complete(server, prompt="x", echo=True)["choices"][0]["text"][0] == "x"


def test_logprobs_of_completions_are_the_same_in_a_stream(server: ServerProcess, client: OpenAI) -> None:
    parameters: dict[str, Any] = {"prompt": "Once", "max_tokens": 30, "logprobs": 3, "echo": True}
    whole = complete(server, **parameters)["choices"][0]
    chunks = list(client.completions.create(model="tiny", temperature=0, stream=True, **parameters))
    joined: dict[str, list[Any]] = {name: [] for name in whole["logprobs"]}
    for chunk in chunks:
        for name, values in joined.items():
            if scores := chunk.choices[0].logprobs:
                values += getattr(scores, name)
    assert joined == whole["logprobs"]
    assert "".join(joined["tokens"]) == whole["text"]
    offsets = [whole["text"].index(token, offset) for token, offset in
               zip(joined["tokens"], joined["text_offset"], strict=True)]  # fmt: skip
    assert offsets == joined["text_offset"]
    assert all(len(top) in (3, 4) for top in joined["top_logprobs"][1:])


@pytest.mark.parametrize("stream", [True, False])
def test_logprobs_of_chat_completions(client: OpenAI, loaded: LoadedModel, stream: bool) -> None:
    parameters: Any = {"max_tokens": 12, "temperature": 0, "logprobs": True, "top_logprobs": 2}
    if stream:
        chunks = list(
            client.chat.completions.create(model="tiny", messages=MESSAGES, stream=True, **parameters)
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        content = [
            each for chunk in chunks if (scores := chunk.choices[0].logprobs) for each in scores.content or []
        ]
    else:
        completion = client.chat.completions.create(model="tiny", messages=MESSAGES, **parameters)
        (choice,) = completion.choices
        assert choice.logprobs and choice.logprobs.content
        text, content = choice.message.content or "", choice.logprobs.content
    assert "".join(each.token for each in content) == text
    assert [bytes(each.bytes or []) for each in content] == [each.token.encode() for each in content]
    prompt = loaded.chat.prompt([Message(each["role"], each["content"]) for each in MESSAGES])
    ids = prompt + loaded.tokenizer.encode(text)
    distribution = log_probabilities(loaded, ids)[len(prompt) - 1 :]
    for position, each in enumerate(content):
        best = distribution[position].topk(2).values.tolist()
        assert each.logprob == pytest.approx(best[0], abs=1e-3)  # greedy
        assert [top.logprob for top in each.top_logprobs] == pytest.approx(best, abs=1e-3)


def test_last_message_can_be_continued(server: ServerProcess) -> None:
    start = server.post(chat_body(max_tokens=10, temperature=0))[1]["choices"][0]["message"]
    whole = server.post(chat_body(max_tokens=20, temperature=0))[1]["choices"][0]["message"]["content"]
    messages = [{"role": "user", "content": "hi"}, start]
    options = {"continue_final_message": True, "add_generation_prompt": False, "temperature": 0}
    status, response = server.post(chat_body(messages=messages, max_tokens=10, **options))
    assert status == 200
    assert start["content"] + response["choices"][0]["message"]["content"] == whole
    assert server.post(chat_body(**options))[1]["error"]["param"] == "continue_final_message"


def request(
    server: ServerUrl, method: str, path: str, body: Any = None, **headers: str
) -> tuple[HTTPResponse, bytes]:
    with closing(HTTPConnection(urlsplit(server.url).netloc, timeout=120)) as connection:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response, response.read()


@pytest.mark.parametrize(
    "path",
    ["/v1/models/", "/models", "//v1/models", "/v1/v1/models", "/proxy/prefix/v1/models", "/v1/models?x=1"],
)
def test_paths_of_other_base_urls(server: ServerProcess, path: str) -> None:
    assert json.loads(server.get(path))["data"][0]["id"] == "tiny"
    response, body = request(server, "HEAD", path)
    assert (response.status, body) == (200, b"")


@pytest.mark.parametrize("prefix", ["", "/v1/", "/some/prefix/v1"])
def test_openai_client_with_other_base_urls(server: ServerProcess, prefix: str) -> None:
    with OpenAI(base_url=f"{server.url}{prefix}", api_key="x", max_retries=0) as client:
        assert client.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=1).choices


def test_azure_client(server: ServerProcess) -> None:
    with openai.AzureOpenAI(azure_endpoint=server.url, api_version="2024-10-21", api_key="x") as client:
        assert client.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=1).choices


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": ""},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "Application/JSON; Charset=UTF-8"},
        {"Content-Type": "application/json", "Expect": "100-continue"},
        {"Content-Type": "application/json", "Accept": "text/event-stream", "Accept-Encoding": "gzip"},
        {"Content-Type": "application/json", "Transfer-Encoding": "chunked"},
        {
            "Content-Type": "application/json",
            "Connection": "Upgrade, HTTP2-Settings",
            "Upgrade": "h2c",
            "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
        },
    ],
)
def test_headers_of_clients(server: ServerProcess, headers: dict[str, str]) -> None:
    body: Any = chat_body()
    if "Transfer-Encoding" in headers:
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:9], body[9:])) + b"0\r\n\r\n"
    elif "Upgrade" in headers:
        headers = headers | {"Content-Length": str(len(body))}
    response, answer = request(server, "POST", "/v1/chat/completions", body, **headers)
    assert response.status == 200, answer
    with closing(HTTPConnection(urlsplit(server.url).netloc, timeout=60)) as connection:
        for _ in range(2):  # the connection can be used again
            connection.request("POST", "/v1/chat/completions", body, headers)
            assert connection.getresponse().read().startswith(b'{"id"')


def test_byte_order_mark_is_ignored_and_compression_is_refused(server: ServerProcess) -> None:
    assert server.post(b"\xef\xbb\xbf" + chat_body())[0] == 200
    status, response = server.post(chat_body(), **{"Content-Encoding": "gzip"})
    assert (status, response["error"]["code"]) == (415, "content_encoding")


def test_events_are_single_ascii_lines_and_not_buffered(server: ServerProcess) -> None:
    # Answers that consist of two bytes of U+2028 and line feeds, as far as the bias allows.
    body = chat_body(stream=True, max_tokens=9, messages=[{"role": "user", "content": "\u2028\x85\r\n水"}])
    echo = json.dumps(
        {"model": "tiny", "prompt": "a\u2028b\x85c\r\n水", "echo": True, "stream": True}
    ).encode()
    for path, data in (("/v1/chat/completions", body), ("/v1/completions", echo)):
        response, text = request(server, "POST", path, data)
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


def test_pages_of_allowed_sites_may_call_the_api(loaded: LoadedModel) -> None:
    origin = "http://localhost:3000"
    with paced_server(loaded, cors_origins=(origin,)) as server:
        asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        response, _ = request(server, "OPTIONS", "/v1/chat/completions", Origin=origin, **asks)
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == origin
        assert "authorization" in response.headers["Access-Control-Allow-Headers"].lower()
        for method, path in (("GET", "/v1/models"), ("POST", "/v1/chat/completions")):
            response, _ = request(server, method, path, Origin=origin)
            assert response.headers["Access-Control-Allow-Origin"] == origin  # of errors, too
            assert "X-Request-Id" in response.headers["Access-Control-Expose-Headers"]
        response, _ = request(server, "OPTIONS", "/v1/models", Origin="https://evil.example", **asks)
        assert "Access-Control-Allow-Origin" not in response.headers


def test_model_has_the_configured_name_and_its_own(loaded: LoadedModel) -> None:
    with paced_server(loaded, model_name="org/assistant") as server, server.client() as client:
        server.batcher.permit_all()
        (listed,) = client.models.list().data
        assert (listed.id, listed.model_extra and listed.model_extra["root"]) == ("org/assistant", "tiny")
        assert client.models.retrieve("org/assistant").id == "org/assistant"
        for name in ("org/assistant", "tiny"):
            completion = client.chat.completions.create(model=name, messages=MESSAGES, max_tokens=1)
            assert completion.model == name
        with pytest.raises(openai.NotFoundError, match="this server has 'org/assistant'"):
            client.models.retrieve("other")


def test_tokenizer_of_the_server(server: ServerProcess, loaded: LoadedModel) -> None:
    ids = loaded.tokenizer.encode("Wie geht's?")
    status, response = server.post(b'{"prompt": "Wie geht\'s?", "add_special_tokens": false}', "/tokenize")
    assert (status, response) == (200, {"count": 11, "max_model_len": CONTEXT, "tokens": ids})
    assert server.post(json.dumps({"tokens": ids}).encode(), "/detokenize")[1] == {"prompt": "Wie geht's?"}
    info = json.loads(server.get("/tokenizer_info"))
    assert info["eos_token"] == "<|im_end|>" and "chat_template" in info
    body = json.dumps({"prompt": info["eos_token"], "model": "tiny"}).encode()
    assert server.post(body, "/v1/tokenize")[1]["tokens"] == [loaded.tokenizer.eos]
    assert server.post(b'{"tokens": [999999]}', "/detokenize")[1]["error"]["param"] == "tokens"

"""Habits of clients: OpenAI's own, LangChain, lm-eval, open-webui, and proxies in between."""

import json
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
from openai import OpenAI

from model.loading import LoadedModel
from tests.serve.client import MESSAGES, chat_body
from tests.serve.paced_server import paced_server
from tests.serve.server_process import ServerProcess

pytestmark = pytest.mark.server


def test_own_answers_are_accepted_in_the_history(client: OpenAI, server: ServerProcess) -> None:
    first = client.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=5)
    history = [*MESSAGES, first.choices[0].message, {"role": "user", "content": "And?"}]
    assert client.chat.completions.create(model="tiny", messages=history, max_tokens=5).choices
    own = server.post(chat_body())[1]["choices"][0]["message"]
    full = own | {"annotations": [], "audio": None, "tool_calls": None, "reasoning_content": "x", "id": "1"}
    for message in (own, full, own | {"content": None}, own | {"type": "text"}):
        assert server.post(chat_body(messages=[*MESSAGES, message, *MESSAGES[1:]]))[0] == 200


def test_prompts_may_be_lists_of_texts_and_token_ids(server: ServerProcess, loaded: LoadedModel) -> None:
    prompts: list[Any] = ["Once", "a mill", loaded.tokenizer.encode("stood")]
    single = [server.complete(prompt=prompt)["choices"][0]["text"] for prompt in prompts]
    response = server.complete(prompt=prompts)
    assert [(choice["index"], choice["text"]) for choice in response["choices"]] == list(enumerate(single))
    assert response["usage"] == {"prompt_tokens": 15, "completion_tokens": 12, "total_tokens": 27}
    assert server.complete(prompt=["Once"])["choices"][0]["text"] == single[0]
    assert server.complete(prompt=[prompts[2]])["choices"][0]["text"] == single[2]


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


def test_last_message_can_be_continued(server: ServerProcess) -> None:
    start = server.post(chat_body(max_tokens=10, temperature=0))[1]["choices"][0]["message"]
    whole = server.post(chat_body(max_tokens=20, temperature=0))[1]["choices"][0]["message"]["content"]
    messages = [{"role": "user", "content": "hi"}, start]
    options = {"continue_final_message": True, "add_generation_prompt": False, "temperature": 0}
    status, response = server.post(chat_body(messages=messages, max_tokens=10, **options))
    assert status == 200
    assert start["content"] + response["choices"][0]["message"]["content"] == whole
    assert server.post(chat_body(**options))[1]["error"]["param"] == "continue_final_message"


@pytest.mark.parametrize(
    "path",
    ["/v1/models/", "/models", "//v1/models", "/v1/v1/models", "/proxy/prefix/v1/models", "/v1/models?x=1"],
)
def test_paths_of_other_base_urls(server: ServerProcess, path: str) -> None:
    assert json.loads(server.get(path))["data"][0]["id"] == "tiny"
    response, body = server.request("HEAD", path)
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
    response, answer = server.request("POST", "/v1/chat/completions", body, **headers)
    assert response.status == 200, answer
    with closing(HTTPConnection(urlsplit(server.url).netloc, timeout=60)) as connection:
        for _ in range(2):  # the connection can be used again
            connection.request("POST", "/v1/chat/completions", body, headers)
            assert connection.getresponse().read().startswith(b'{"id"')


def test_byte_order_mark_is_ignored_and_compression_is_refused(server: ServerProcess) -> None:
    assert server.post(b"\xef\xbb\xbf" + chat_body())[0] == 200
    status, response = server.post(chat_body(), **{"Content-Encoding": "gzip"})
    assert (status, response["error"]["code"]) == (415, "content_encoding")


def test_pages_of_allowed_sites_may_call_the_api(loaded: LoadedModel) -> None:
    origin = "http://localhost:3000"
    with paced_server(loaded, cors_origins=(origin,)) as server:
        asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        response, _ = server.request("OPTIONS", "/v1/chat/completions", Origin=origin, **asks)
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == origin
        assert "authorization" in response.headers["Access-Control-Allow-Headers"].lower()
        for method, path in (("GET", "/v1/models"), ("POST", "/v1/chat/completions")):
            response, _ = server.request(method, path, Origin=origin)
            assert response.headers["Access-Control-Allow-Origin"] == origin  # of errors, too
            assert "X-Request-Id" in response.headers["Access-Control-Expose-Headers"]
        response, _ = server.request("OPTIONS", "/v1/models", Origin="https://evil.example", **asks)
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

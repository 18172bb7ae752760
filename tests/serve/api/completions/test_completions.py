"""The API as clients use it: OpenAI's client with a server process."""

import json
import threading
from typing import Any

import openai
import pytest
from openai import OpenAI

from core.tokenizer.chat import Message
from model.generation import Sampling, generate
from model.loading import LoadedModel
from tests.serve.client import MESSAGES, chat_body
from tests.serve.server_process import CONTEXT, ServerProcess

pytestmark = pytest.mark.server

GREEDY = Sampling(temperature=0)


def expected(loaded: LoadedModel, tokens: int, sampling: Sampling = GREEDY) -> str:
    """Return the model's answer to :data:`MESSAGES`, generated without a server."""
    messages = [Message(message["role"], message["content"]) for message in MESSAGES]
    prompt = loaded.chat.prompt(messages)
    return loaded.tokenizer.decode(list(generate(loaded.model, prompt, tokens, sampling, loaded.chat.stop)))


def test_chat_completion_equals_generation_without_a_server(client: OpenAI, loaded: LoadedModel) -> None:
    completion = client.chat.completions.create(
        model="tiny", messages=MESSAGES, max_tokens=40, temperature=0, extra_body={"top_k": 3}
    )
    assert completion.id.startswith("chatcmpl-")
    assert completion.model == "tiny"
    assert completion.choices[0].finish_reason == "length"
    assert completion.choices[0].message.role == "assistant"
    assert completion.choices[0].message.content == expected(loaded, 40)
    messages = [Message(message["role"], message["content"]) for message in MESSAGES]
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == len(loaded.chat.prompt(messages))
    assert completion.usage.completion_tokens == 40
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + 40


def test_seed_determines_the_answer(client: OpenAI, loaded: LoadedModel) -> None:
    def ask(**parameters: Any) -> str | None:
        completion = client.chat.completions.create(
            model="tiny", messages=MESSAGES, max_completion_tokens=30, **parameters
        )
        content: str | None = completion.choices[0].message.content
        return content

    assert ask(seed=5, top_p=0.9) == expected(loaded, 30, Sampling(1.0, 0, 0.9, 5))
    assert ask(seed=-5) == ask(seed=-5)
    assert ask() != ask()


def test_stream_equals_the_complete_response(client: OpenAI, loaded: LoadedModel) -> None:
    stream = client.chat.completions.create(
        model="tiny", messages=MESSAGES, max_tokens=40, temperature=0, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text == expected(loaded, 40)
    assert len(chunks) > 5
    reasons = [chunk.choices[0].finish_reason for chunk in chunks[:-1]]
    assert reasons == [None] * (len(chunks) - 2) + ["length"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 40
    assert len({chunk.id for chunk in chunks}) == 1


def test_final_message_can_be_continued(client: OpenAI, loaded: LoadedModel) -> None:
    messages = [*MESSAGES, {"role": "assistant", "content": "It is a"}]
    completion = client.chat.completions.create(
        model="tiny", messages=messages, max_tokens=20, temperature=0,
        extra_body={"continue_final_message": True, "add_generation_prompt": False},
    )  # fmt: skip
    prompt = loaded.chat.continuation([Message(each["role"], each["content"]) for each in messages])
    tokens = list(generate(loaded.model, prompt, 20, GREEDY, loaded.chat.stop))
    assert (
        completion.choices[0].message.content
        == loaded.tokenizer.decode([*prompt, *tokens])[len(loaded.tokenizer.decode(prompt)) :]
    )


def test_completions_accept_text_and_token_ids(client: OpenAI, loaded: LoadedModel) -> None:
    text = "Once upon"
    ids = loaded.tokenizer.encode(text)
    answer = loaded.tokenizer.decode(list(generate(loaded.model, ids, 16, GREEDY)))
    for prompt in (text, ids):
        completion = client.completions.create(model="tiny", prompt=prompt, max_tokens=16, temperature=0)
        assert completion.choices[0].text == answer
        assert completion.object == "text_completion"
    stream = client.completions.create(model="tiny", prompt=text, max_tokens=16, temperature=0, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == answer


def test_stop_strings_are_removed(client: OpenAI, loaded: LoadedModel) -> None:
    text = expected(loaded, 60)
    string = text[20:23]
    for stop in (string, [string, "never there"]):
        stream = client.chat.completions.create(
            model="tiny", messages=MESSAGES, max_tokens=60, temperature=0, stop=stop, stream=True
        )
        chunks = list(stream)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text[: text.index(string)]
        assert chunks[-1].choices[0].finish_reason == "stop"


def test_models_are_listed(client: OpenAI, loaded: LoadedModel) -> None:
    listed = client.models.list().data
    assert [model.id for model in listed] == ["tiny"]
    assert client.models.retrieve("tiny").id == "tiny"
    assert listed[0].model_extra is not None
    assert listed[0].model_extra["sha256"] == loaded.sha256
    assert listed[0].model_extra["context_length"] == CONTEXT
    with pytest.raises(openai.NotFoundError, match="there is no model 'other'"):
        client.models.retrieve("other")


def question(text: str) -> bytes:
    return chat_body(messages=[{"role": "user", "content": text}])


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"{", 400, "invalid_json", None),
        (b'"\\ud800"', 400, "invalid_json", None),
        (b"[]", 400, "invalid_value", None),
        (chat_body(bogus=1), 400, "unknown_parameter", "bogus"),
        (chat_body(n=129), 400, "invalid_value", "n"),
        (chat_body(top_logprobs=1), 400, "invalid_value", "top_logprobs"),
        (chat_body(logprobs=True, top_logprobs=21), 400, "invalid_value", "top_logprobs"),
        (chat_body(tools=[{"type": "function"}]), 400, "unsupported_parameter", "tools"),
        (chat_body(response_format={"type": "json_object"}), 400, "unsupported_parameter", "response_format"),
        (chat_body(min_p=0.1), 400, "unsupported_parameter", "min_p"),
        (chat_body(logit_bias={"1": 101}), 400, "invalid_value", "logit_bias[1]"),
        (chat_body(logit_bias={"99999": 1}), 400, "invalid_value", "logit_bias"),
        (chat_body(temperature=-1), 400, "invalid_value", "temperature"),
        (chat_body(temperature="1"), 400, "invalid_value", "temperature"),
        (chat_body(presence_penalty=2.1), 400, "invalid_value", "presence_penalty"),
        (chat_body(max_tokens=0), 400, "invalid_value", "max_tokens"),
        (chat_body(stop=["a"] * 65), 400, "invalid_value", "stop"),
        (chat_body(stop="x" * 201), 400, "invalid_value", "stop[0]"),
        (chat_body(messages=[]), 400, "invalid_value", "messages"),
        (chat_body(messages=[{"role": "robot", "content": ""}]), 400, "invalid_value", "messages[0].role"),
        (chat_body(messages=[{"role": "user"}]), 400, "missing_parameter", "messages[0].content"),
        (
            chat_body(messages=[{"role": "user", "content": [{"type": "image_url"}]}]),
            400, "invalid_value", "messages[0].content",
        ),
        (question("x" * CONTEXT), 400, "context_length_exceeded", "messages"),
        (question("x" * 100_000), 413, "body_too_large", None),
        (chat_body(model="other"), 404, "model_not_found", "model"),
        (question("Tell me of VOLDEMORT"), 400, "content_filter", None),
    ],
)  # fmt: skip
def test_errors_of_chat_completions(
    server: ServerProcess, body: bytes, status: int, code: str, param: str
) -> None:
    found, response = server.post(body)
    error = response["error"]
    assert (found, error["code"], error["param"]) == (status, code, param)
    assert error["message"]
    if code == "content_filter":
        assert (error["rule"], error["category"]) == ("blocked_words", "listed word")
        assert "rule blocked_words, category listed word" in error["message"]


@pytest.mark.parametrize(
    ("parameters", "param"),
    [({"echo": "yes"}, "echo"), ({"logprobs": 21}, "logprobs"), ({"prompt": [10**6]}, "prompt"),
     ({"prompt": ""}, "prompt"), ({"prompt": [["a"]]}, "prompt"), ({"best_of": 2}, "best_of"),
     ({"prompt": ["a", ""]}, "prompt"), ({"prompt": []}, "prompt"), ({"prompt": [[]]}, "prompt"),
     ({"prompt": [1, "a"]}, "prompt"), ({"prompt": ["a"] * 9, "n": 128}, "prompt"), ({"n": 0}, "n"),
     ({"best_of": 2, "n": 3}, "best_of"), ({"suffix": "x"}, "suffix"), ({"prompt": [-1]}, "prompt"),
     ({"logprobs": True}, "logprobs"), ({"prompt": [2**70]}, "prompt")],
)  # fmt: skip
def test_errors_of_completions(server: ServerProcess, parameters: dict[str, Any], param: str) -> None:
    body = json.dumps({"model": "tiny", "prompt": "x", **parameters}).encode()
    status, response = server.post(body, "/v1/completions")
    assert (status, response["error"]["param"]) == (400, param)


def test_default_values_of_unsupported_parameters_are_accepted(server: ServerProcess) -> None:
    defaults = {"presence_penalty": 0.0, "frequency_penalty": 0, "logprobs": False, "n": 1, "stop": None}
    status, response = server.post(chat_body(user="me", seed=None, **defaults))
    assert status == 200 and "error" not in response


def test_concurrent_requests_get_the_answers_of_single_ones(client: OpenAI, loaded: LoadedModel) -> None:
    results: dict[int, str | None] = {}

    def ask(tokens: int) -> None:
        completion = client.chat.completions.create(
            model="tiny", messages=MESSAGES, max_tokens=tokens, temperature=0
        )
        results[tokens] = completion.choices[0].message.content

    threads = [threading.Thread(target=ask, args=(10 * number,)) for number in range(1, 21)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {10 * number: expected(loaded, 10 * number) for number in range(1, 21)}

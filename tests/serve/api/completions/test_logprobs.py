"""Log-probabilities in responses, compared with the model's."""

from typing import Any

import pytest
import torch
from openai import OpenAI

from core.tokenizer.chat import Message
from model.loading import LoadedModel
from tests.serve.client import MESSAGES
from tests.serve.server_process import ServerProcess

pytestmark = pytest.mark.server


def log_probabilities(loaded: LoadedModel, ids: list[int]) -> torch.Tensor:
    """Return the model's distribution after each token, ``[T, vocabulary]``."""
    with torch.no_grad():
        logits: torch.Tensor = loaded.model(torch.tensor([ids]))[0]
    return logits.log_softmax(dim=1)


def test_likelihoods_of_a_prompt_as_lm_eval_asks(server: ServerProcess, loaded: LoadedModel) -> None:
    prompts = [loaded.tokenizer.encode(text) for text in ("Once upon a mill", "Über é 水", "x")]
    response = server.complete(prompt=prompts, max_tokens=1, logprobs=1, echo=True, seed=1234)
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
    only = server.complete(prompt=prompts[0], max_tokens=0, logprobs=0, echo=True)["choices"][0]
    assert only["text"] == "Once upon a mill" and only["finish_reason"] == "length"
    assert len(only["logprobs"]["tokens"]) == 16
    assert only["logprobs"]["text_offset"] == list(range(16))
    assert server.complete(prompt="x", echo=True)["choices"][0]["text"][0] == "x"


def test_logprobs_of_completions_are_the_same_in_a_stream(server: ServerProcess, client: OpenAI) -> None:
    parameters: dict[str, Any] = {"prompt": "Once", "max_tokens": 30, "logprobs": 3, "echo": True}
    whole = server.complete(**parameters)["choices"][0]
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

"""Tokens are released with their text, and withheld where the safety filter changed it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.batching import TokenLogprobs
from serve.api.completions.logprobs import chat_logprobs, completion_logprobs
from serve.logprobs import ScoredToken, TokenLog, TokenTexts
from serve.text import Detokenizer
from tests.serve.server_process import byte_tokenizer

TOKENIZER = byte_tokenizer()
TEXTS = TokenTexts(TOKENIZER)


def scored(token: int) -> TokenLogprobs:
    return TokenLogprobs(token, -1.0, ((token, -1.0), (0, -2.0)))


def logged(text: str, offset: int = 0) -> TokenLog:
    """Return a log with the tokens of ``text``."""
    log, detokenizer = TokenLog(offset), Detokenizer(TOKENIZER, [])
    for token in TOKENIZER.encode(text):
        log.add(scored(token), detokenizer.push(token))
    log.complete(detokenizer.flush())
    return log


@given(st.text(max_size=12), st.lists(st.integers(0, 12), max_size=3).map(sorted))
def test_all_tokens_of_unchanged_text_are_released_once(text: str, cuts: list[int]) -> None:
    log = logged(text)
    parts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    tokens = [token for part in parts for token in log.release(part)] + log.finish(is_cut=False)
    assert [token.token for token in tokens] == TOKENIZER.encode(text)
    for token in tokens:
        assert 0 <= token.offset <= len(text)


def test_no_token_is_released_before_its_text() -> None:
    log = logged("ab水cd")
    assert [token.token for token in log.release("ab")] == TOKENIZER.encode("ab")
    assert [token.token for token in log.release("水c")] == TOKENIZER.encode("水c")


def test_tokens_after_a_stop_string_are_left_out() -> None:
    log = logged("one###two", offset=5)
    tokens = log.release("one") + log.finish(is_cut=True)
    assert [token.token for token in tokens] == TOKENIZER.encode("one")
    assert [token.offset for token in tokens] == [5, 6, 7]


@pytest.mark.parametrize("is_cut", [True, False])
def test_text_that_the_filter_replaced_is_not_revealed(is_cut: bool) -> None:
    log = logged("to ada@x.org, hi")
    tokens = log.release("to ")
    for part in ("<email>", ", hi"):
        tokens += log.release(part)
    tokens += log.finish(is_cut=is_cut)
    shown = completion_logprobs(tokens, TEXTS)
    assert "".join(shown["tokens"]) == "to "
    assert len(tokens) == (3 if is_cut else 16)
    assert all(top is None for top in shown["top_logprobs"][3:])
    assert chat_logprobs(tokens, TEXTS)["content"][3:] == [
        {"token": "", "logprob": -1.0, "bytes": None, "top_logprobs": []}
    ] * len(tokens[3:])


def test_parts_of_characters_and_special_tokens_have_names() -> None:
    first = TOKENIZER.encode("é")[0]
    stop = ScoredToken(TOKENIZER.eos, 0, float("-inf"), ((TOKENIZER.eos, float("-inf")),), is_stop=True)
    tokens = [ScoredToken(first, 0, -0.5), stop]
    shown = completion_logprobs(tokens, TEXTS)
    assert shown["tokens"] == ["bytes:\\xc3", "<|im_end|>"]
    assert shown["token_logprobs"] == [-0.5, -9999.0]
    assert shown["top_logprobs"] == [None, {"<|im_end|>": -9999.0}]
    content = chat_logprobs(tokens, TEXTS)["content"]
    assert [(each["token"], each["bytes"]) for each in content] == [("bytes:\\xc3", [0xC3])]

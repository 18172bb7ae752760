"""Tokenizers written as GGUF metadata and read back."""

import json
from typing import Any

import pytest

from core.config import TokenizerConfig
from core.errors import InputError
from core.tokenizer import HuggingFaceTokenizer, Tokenizer, tokenizer_json
from core.tokenizer.gguf import tokenizer_from_gguf
from core.tokenizer.gguf_fields import gguf_fields
from core.tokenizer.hub_settings import TokenizerSettings
from core.tokenizer.training import train
from tests.core.tokenizer.samples import texts
from tests.core.tokenizer.test_gguf import SPLITS, byte_level, sentencepiece_like

SPECIMENS = ("The mill turns 123 times.\n\n  It's 5 o'clock!", "Ärger über 你好 🙂", " <|im_end|> <s> <0x41>")


def plain_texts() -> list[str]:
    """Return the samples without U+2581, which is a space in GGUF."""
    return [text.replace("\u2581", "_") for text in texts()]


def check_equal(found: Tokenizer, expected: Tokenizer) -> None:
    for text in (*SPECIMENS, *plain_texts()):
        assert found.encode(text) == expected.encode(text)
    assert (found.bos, found.eos, found.pad) == (expected.bos, expected.eos, expected.pad)
    assert found.special == expected.special
    assert found.chat_template == expected.chat_template


@pytest.mark.parametrize("rule", list(SPLITS))
def test_byte_level_round_trip(rule: str) -> None:
    fields = byte_level(rule)[1]
    tokenizer = tokenizer_from_gguf(fields, "a.gguf")
    again = gguf_fields(tokenizer, tokenizer.vocabulary_size, frozenset())
    assert again == fields


@pytest.mark.parametrize("prefix", [True, False])
def test_sentencepiece_round_trip(prefix: bool) -> None:
    tokenizer = tokenizer_from_gguf(sentencepiece_like(prefix=prefix)[1], "a.gguf")
    fields = gguf_fields(tokenizer, tokenizer.vocabulary_size, frozenset())
    check_equal(tokenizer_from_gguf(fields, "a.gguf"), tokenizer)


@pytest.mark.parametrize("kind", ["bpe", "byte-bpe", "char"])
def test_trained_tokenizers_are_written(kind: Any) -> None:
    tokenizer = train(plain_texts(), TokenizerConfig(kind=kind, vocabulary_size=400))
    end = tokenizer.special["<|end|>"]
    fields = gguf_fields(tokenizer, tokenizer.vocabulary_size + 3, frozenset({tokenizer.eos, end}))
    assert len(fields["tokenizer.ggml.tokens"]) == tokenizer.vocabulary_size + 3
    assert fields["tokenizer.ggml.eot_token_id"] == end
    check_equal(tokenizer_from_gguf(fields, "a.gguf"), tokenizer)


@pytest.mark.parametrize(
    ("kind", "message"), [("unigram", "type Unigram: llama"), ("char", r"both a space and U\+2581")]
)
def test_kinds_that_gguf_lacks_are_refused(kind: Any, message: str) -> None:
    tokenizer = train(texts(), TokenizerConfig(kind=kind, vocabulary_size=400))
    with pytest.raises(InputError, match=message):
        gguf_fields(tokenizer, tokenizer.vocabulary_size, frozenset())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"pre_tokenizer": {"type": "Whitespace"}},
            "pre-tokenizer of the tokenizer: none that llama",
        ),
        ({"normalizer": {"type": "Lowercase"}}, "pre-tokenizer gpt-2: not as llama"),
    ],
)
def test_other_steps_are_refused(change: dict[str, Any], message: str) -> None:
    merges = [("a", "b")]
    definition = tokenizer_json.byte_level(["a", "b", "ab", "<e>"], merges, [(3, "<e>", True)], "gpt-2")
    settings = TokenizerSettings({"eos_token": "<e>"})
    tokenizer = HuggingFaceTokenizer(json.dumps(definition | change), settings)
    with pytest.raises(InputError, match=message) as caught:
        gguf_fields(tokenizer, 4, frozenset())
    assert "\n" not in str(caught.value)


def test_merges_that_scores_cannot_express_are_refused() -> None:
    tokens = ["a", "b", "c", "ab", "bc", "abc", "<e>"]
    definition = tokenizer_json.byte_fallback(tokens, [("a", "b"), ("ab", "c")], [(6, "<e>", True)])
    tokenizer = HuggingFaceTokenizer(json.dumps(definition), TokenizerSettings({"eos_token": "<e>"}))
    with pytest.raises(InputError, match="merges of the tokenizer: not those of SentencePiece; export it as"):
        gguf_fields(tokenizer, 7, frozenset())

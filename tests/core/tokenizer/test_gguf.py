"""Tokenizers from GGUF metadata, compared with the tokenizers they were written from."""

import functools
import io
import json
from typing import Any

import pytest
import sentencepiece
import tokenizers
from hypothesis import given
from tokenizers import decoders, models, pre_tokenizers, trainers

from core.errors import InputError
from core.tokenizer import HuggingFaceTokenizer, gguf, tokenizer_json
from tests.core.tokenizer.samples import any_text, texts

SPLITS: dict[str, pre_tokenizers.PreTokenizer] = {
    "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
}
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


@functools.cache
def byte_level(rule: str) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    """Return a byte-level BPE trained on the samples, and its GGUF fields in llama.cpp's form."""
    peer = tokenizers.Tokenizer(models.BPE())
    peer.pre_tokenizer = SPLITS[rule]
    peer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        show_progress=False,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    peer.train_from_iterator(texts(), trainer)
    peer.encode_special_tokens = True
    model = json.loads(peer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    fields = {
        "model": "gpt2",
        "pre": rule,
        "tokens": tokens,
        "token_type": [gguf.CONTROL if token in SPECIAL else gguf.NORMAL for token in tokens],
        "merges": [" ".join(merge) for merge in model["merges"]],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "padding_token_id": 2,
        "add_bos_token": False,
    }
    return peer, {f"tokenizer.ggml.{key}": value for key, value in fields.items()}


@functools.cache
def sentencepiece_like(*, prefix: bool) -> tuple[sentencepiece.SentencePieceProcessor, dict[str, Any]]:
    """Return a SentencePiece model like that of Llama, and its GGUF fields."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts()),
        model_writer=written,
        model_type="bpe",
        vocab_size=800,
        byte_fallback=True,
        character_coverage=0.9995,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        normalization_rule_name="identity",
        add_dummy_prefix=prefix,
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    peer = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    kinds = [
        gguf.UNKNOWN if peer.is_unknown(i) else gguf.CONTROL if peer.is_control(i) else
        gguf.BYTE if peer.is_byte(i) else gguf.NORMAL for i in range(len(peer))
    ]  # fmt: skip
    fields = {
        "model": "llama",
        "tokens": [peer.id_to_piece(i) for i in range(len(peer))],
        "scores": [peer.get_score(i) for i in range(len(peer))],
        "token_type": kinds,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "unknown_token_id": 0,
        "add_space_prefix": prefix,
    }
    return peer, {f"tokenizer.ggml.{key}": value for key, value in fields.items()}


@functools.cache
def built(kind: str, rule: Any) -> HuggingFaceTokenizer:
    _, fields = byte_level(rule) if kind == "gpt2" else sentencepiece_like(prefix=rule)
    return gguf.tokenizer_from_gguf(fields, "a.gguf")


@pytest.mark.parametrize("rule", list(SPLITS))
@given(text=any_text)
def test_byte_level_tokenizer_encodes_like_the_original(rule: str, text: str) -> None:
    peer, _ = byte_level(rule)
    found = built("gpt2", rule)
    ids = found.encode(text)
    assert ids == peer.encode(text).ids
    assert found.decode(ids) == text
    assert found.byte_lengths()[ids].sum() == len(text.encode())


@pytest.mark.parametrize("prefix", [True, False])
@given(text=any_text)
def test_sentencepiece_tokenizer_encodes_like_the_original(prefix: bool, text: str) -> None:
    peer, _ = sentencepiece_like(prefix=prefix)
    found = built("llama", prefix)
    ids = found.encode(text)
    assert ids == peer.encode(text)
    assert found.decode(ids) == peer.decode(ids) == text.replace("▁", " ")


def test_special_tokens_are_read() -> None:
    found = built("gpt2", "smollm")
    assert found.names == {"bos_token": SPECIAL[1], "eos_token": SPECIAL[2], "pad_token": SPECIAL[2]}
    assert (found.bos, found.eos, found.pad) == (None, 2, 2)
    assert found.special == {name: number for number, name in enumerate(SPECIAL)}
    assert not set(found.encode("".join(SPECIAL))) & {0, 1, 2}
    llama = built("llama", True)
    assert (llama.bos, llama.eos, llama.special) == (1, 2, {"<unk>": 0, "<s>": 1, "</s>": 2})


@pytest.mark.parametrize(
    ("rule", "text", "words"),
    [
        ("gpt-2", "It's  2024!", ["It", "'s", " ", " 2024", "!"]),
        ("smollm", "It's  2024!", ["It", "'s", "  ", "2", "0", "2", "4", "!"]),
        ("llama-bpe", "IT'S  2024!\n", ["IT", "'S", " ", " ", "202", "4", "!\n"]),
        ("qwen2", "IT'S  2024!\n", ["IT", "'S", " ", " ", "2", "0", "2", "4", "!\n"]),
    ],
)
def test_pre_tokenization_rules(rule: str, text: str, words: list[str]) -> None:
    made = tokenizer_json.byte_level(["a"], [], [], rule)
    spans = tokenizers.Tokenizer.from_str(json.dumps(made)).pre_tokenizer.pre_tokenize_str(text)
    assert [text[start:end] for _, (start, end) in spans] == words


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "bert"}, "tokenizer 'bert'; only gpt2 and llama are supported"),
        ({"tokens": None}, "tokenizer 'gpt2'; only"),
        ({"pre": "tea-leaves"}, "unknown pre-tokenizer 'tea-leaves'; known are default, gpt-2, llama-bpe"),
        ({"eos_token_id": 10**6}, "eos_token = '', which is not one of its tokens"),
        ({"merges": ["x y z"]}, "not a tokenizer"),
        ({"merges": None}, "has no merges"),
    ],
)
def test_invalid_fields_are_rejected(changes: dict[str, Any], message: str) -> None:
    _, fields = byte_level("gpt-2")
    altered = fields | {f"tokenizer.ggml.{key}": value for key, value in changes.items()}
    with pytest.raises(InputError, match=message) as caught:
        gguf.tokenizer_from_gguf(
            {key: value for key, value in altered.items() if value is not None}, "a.gguf"
        )
    assert "\n" not in str(caught.value)

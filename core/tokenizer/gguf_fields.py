"""Convert a tokenizer to the metadata of a GGUF file, for llama.cpp; inverse of :mod:`core.tokenizer.gguf`.

llama.cpp knows byte-level BPE with one of a few named pre-tokenizers, and SentencePiece's BPE with byte
fallback. It does not normalize text, as Qwen's tokenizers do by NFC, and U+2581 in text is a space to
SentencePiece's.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.tokenizer import tokenizer_json
from core.tokenizer.gguf import BYTE, CONTROL, NORMAL, UNUSED, USER_DEFINED
from core.tokenizer.huggingface import BYTE_TOKEN
from core.tokenizer.protocol import TOKENIZER_JSON, Tokenizer
from core.tokenizer.tokenizer_json import PRE_TOKENIZERS, SPACE

PRE_TOKENIZER_NAMES = ("gpt-2", "smollm", "llama-bpe", "qwen2")
"""Pre-tokenizers by the names that llama.cpp has today, each once."""
REMEDY = "export it as a Hugging Face folder"


def gguf_fields(tokenizer: Tokenizer, vocabulary_size: int, stop: frozenset[int]) -> dict[str, Any]:
    """Return the metadata that describe ``tokenizer``; ``stop``: ids that end a text or an answer.

    Ids from the tokenizer's vocabulary up to that of the model become unused tokens.
    Raises :class:`InputError` for tokenizers that llama.cpp does not have.
    """
    definition = _definition(tokenizer)
    model, added = definition["model"], definition.get("added_tokens") or []
    names = {number: token for token, number in _vocabulary(model).items()}
    names |= {token["id"]: token["content"] for token in added}
    types = dict.fromkeys(names, NORMAL)
    types |= {token["id"]: CONTROL if token["special"] else USER_DEFINED for token in added}
    kind = _byte_level(definition) if _is_byte_level(definition) else _sentencepiece(definition, names, types)
    size = range(max(vocabulary_size, tokenizer.vocabulary_size))
    fields = {
        **kind,
        "tokens": [names.get(number, f"[UNUSED{number}]") for number in size],
        "token_type": [types.get(number, UNUSED) for number in size],
        "add_bos_token": tokenizer.bos is not None,
        "eos_token_id": tokenizer.eos,
        "padding_token_id": tokenizer.pad,
    }
    if "scores" in fields:
        fields["scores"] = [fields["scores"].get(number, 0.0) for number in size]
    if (bos := tokenizer.special.get(tokenizer.names.get("bos_token", ""))) is not None:
        fields["bos_token_id"] = bos
    fields |= zip(("eot_token_id", "eom_token_id"), sorted(stop - {tokenizer.eos}), strict=False)
    result = {f"tokenizer.ggml.{key}": value for key, value in fields.items()}
    template = {"tokenizer.chat_template": tokenizer.chat_template} if tokenizer.chat_template else {}
    return result | template


def _definition(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the definition of any tokenizer, as it is written for Hugging Face's libraries."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.write(folder)
        found: dict[str, Any] = json.loads(Path(folder, TOKENIZER_JSON).read_text(encoding="utf-8"))
    return found


def _vocabulary(model: Mapping[str, Any]) -> Mapping[str, int]:
    if model["type"] != "BPE":
        raise InputError(f"tokenizer of type {model['type']}: llama.cpp reads none but BPE here; {REMEDY}")
    vocabulary: Mapping[str, int] = model["vocab"]
    return vocabulary


def _is_byte_level(definition: Mapping[str, Any]) -> bool:
    return (definition.get("decoder") or {}).get("type") == "ByteLevel"


def _byte_level(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a byte-level BPE."""
    model, normalizer = definition["model"], definition.get("normalizer")
    steps = _steps(definition.get("pre_tokenizer"))
    for name in PRE_TOKENIZER_NAMES:
        if steps == _steps({"type": "Sequence", "pretokenizers": PRE_TOKENIZERS[name]}):
            break
    else:
        raise InputError(f"pre-tokenizer of the tokenizer: none that llama.cpp has; {REMEDY}")
    ignores_merges = name == "llama-bpe"
    if normalizer not in (None, {"type": "NFC"}) or bool(model.get("ignore_merges")) != ignores_merges:
        raise InputError(f"tokenizer with pre-tokenizer {name}: not as llama.cpp has it; {REMEDY}")
    merges = [" ".join(merge) for merge in _merges(model)]
    return {"model": "gpt2", "pre": name, "merges": merges}


def _steps(pre_tokenizer: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the steps of a pre-tokenizer with their defaults, without those that change no tokens."""
    if pre_tokenizer is None:
        return []
    if pre_tokenizer["type"] == "Sequence":
        return [step for each in pre_tokenizer["pretokenizers"] for step in _steps(each)]
    defaults = {"use_regex": True} if pre_tokenizer["type"] == "ByteLevel" else {}
    return [{**defaults, **pre_tokenizer, "trim_offsets": True}]


def _merges(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the merges, which older files have as strings."""
    split = (each.split(" ") if isinstance(each, str) else each for each in model["merges"])
    return [(left, right) for left, right in split]


def _sentencepiece(
    definition: Mapping[str, Any], names: dict[int, str], types: dict[int, int]
) -> dict[str, Any]:
    """Return the fields of a byte-fallback BPE; write spaces in ``names`` as U+2581, and types of bytes.

    GGUF has scores instead of merges: the negative rank of the merge that makes a token.
    """
    model, normalizer = definition["model"], definition.get("normalizer")
    prefixes = {
        json.dumps(tokenizer_json.with_spaces(_NO_STEPS, prefix=prefix)["normalizer"]): prefix
        for prefix in (True, False)
    }
    prefix = False if normalizer is None else prefixes.get(json.dumps(normalizer))
    if prefix is None or not model.get("byte_fallback"):
        raise InputError(f"normalizer of the tokenizer: not SentencePiece's with byte fallback; {REMEDY}")
    merges = _merges(model)
    rank = {left + right: number for number, (left, right) in reversed(list(enumerate(merges)))}
    types |= {number: BYTE for number, name in names.items() if BYTE_TOKEN.fullmatch(name)}
    normal = [number for number in names if types[number] == NORMAL]
    scores = {number: -float(rank.get(names[number], len(merges))) for number in normal}
    implied = tokenizer_json.merges({names[number]: score for number, score in scores.items()})
    if [left + right for left, right in merges] != [left + right for left, right in implied]:
        raise InputError(f"merges of the tokenizer: not those of SentencePiece; {REMEDY}")
    if normalizer is None:
        names |= {number: names[number].replace(" ", SPACE) for number in normal}
    if len(set(names.values())) < len(names):
        raise InputError(f"tokenizer with tokens for both a space and U+2581: GGUF has one; {REMEDY}")
    return {"model": "llama", "scores": scores, "add_space_prefix": prefix}


_NO_STEPS: dict[str, Any] = {"decoder": {"decoders": []}}

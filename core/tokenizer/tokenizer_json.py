"""Build a ``tokenizer.json``, the definition format of Hugging Face's ``tokenizers`` library."""

from collections.abc import Mapping, Sequence
from typing import Any

SPACE = "\u2581"
"""Character that represents a space in SentencePiece."""

BYTES: dict[str, Any] = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": False,
}
PRINTABLE_BYTES = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
BYTE_OF_CHARACTER = {chr(byte): byte for byte in PRINTABLE_BYTES} | {
    chr(0x100 + index): byte
    for index, byte in enumerate(byte for byte in range(256) if byte not in PRINTABLE_BYTES)
}
"""Byte that each character of a byte-level token represents."""
GPT2 = [BYTES | {"use_regex": True}]
"""The byte-level step contains GPT-2's pattern."""
DIGITS = {"type": "Digits", "individual_digits": True}
_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _split_by(regex: str) -> list[dict[str, Any]]:
    return [{"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}, BYTES]


LLAMA3 = _split_by(_PATTERN.replace("DIGITS", "{1,3}"))
QWEN2 = _split_by(_PATTERN.replace("DIGITS", ""))
PRE_TOKENIZERS: dict[str, list[dict[str, Any]]] = {
    "default": GPT2,
    "gpt-2": GPT2,
    "smollm": [DIGITS, *GPT2],
    "llama-bpe": LLAMA3,
    "llama3": LLAMA3,
    "qwen2": QWEN2,
}
"""Pre-tokenizers, by their names in llama.cpp."""
Added = Sequence[tuple[int, str, bool]]
"""Tokens matched before pre-tokenization: id, text, and True if special."""


def byte_level(
    tokens: Sequence[str], merges: Sequence[Sequence[str]], added: Added, pre_tokenizer: str
) -> dict[str, Any]:
    """Define a byte-level BPE (GPT-2), in which a character represents a byte.

    ``pre_tokenizer`` is a key of :data:`PRE_TOKENIZERS`.
    """
    steps = PRE_TOKENIZERS[pre_tokenizer]
    result = _bpe(tokens, merges, added)
    result["model"]["ignore_merges"] = steps is LLAMA3  # whole words first, as in tiktoken
    result["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
    result["decoder"] = BYTES
    return result


def with_spaces(
    definition: dict[str, Any], *, prefix: bool, removes_spaces: bool = False, charsmap: str = ""
) -> dict[str, Any]:
    """Return a definition in which U+2581 stands for a space, as in SentencePiece.

    ``prefix`` adds a space in front of every text. ``removes_spaces``: before that, spaces at the ends of the
    text and after other spaces are removed. ``charsmap``: SentencePiece's normalization of characters in
    Base64, which is applied first.
    """
    normalizers: list[dict[str, Any]] = [_replace(" ", SPACE)]
    decoders: list[dict[str, Any]] = [_replace(SPACE, " "), *definition["decoder"]["decoders"]]
    if prefix:
        normalizers.insert(0, {"type": "Prepend", "prepend": SPACE})
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    if removes_spaces:
        normalizers[:0] = [_replace_all(r"\A +| +\z", ""), _replace_all(" {2,}", " ")]
    if charsmap:
        normalizers.insert(0, {"type": "Precompiled", "precompiled_charsmap": charsmap})
    normalizer = {"type": "Sequence", "normalizers": normalizers}
    return definition | {"normalizer": normalizer, "decoder": {"type": "Sequence", "decoders": decoders}}


def unigram(vocabulary: Sequence[tuple[str, float]], added: Added, unknown: int) -> dict[str, Any]:
    """Define a byte-fallback unigram model without normalization, by its tokens and their scores.

    ``unknown``: id of the token for characters that neither tokens nor bytes represent.
    """
    result = byte_fallback([], [], added)
    vocab = [list(each) for each in vocabulary]
    result["model"] = {"type": "Unigram", "unk_id": unknown, "vocab": vocab, "byte_fallback": True}
    return result


def byte_fallback(tokens: Sequence[str], merges: Sequence[Sequence[str]], added: Added) -> dict[str, Any]:
    """Define a byte-fallback BPE without normalization."""
    result = _bpe(tokens, merges, added)
    result["model"]["byte_fallback"] = True
    result["decoder"] = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}
    return result


def _replace(old: str, new: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": old}, "content": new}


def _replace_all(pattern: str, new: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": new}


def merges(scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return the merges of a SentencePiece BPE, best first: every split of a token into two others.

    SentencePiece stores no merges. It joins the neighbours whose joint token has the highest score.
    """
    found = [
        (-score, start, token[:start], token[start:])
        for token, score in scores.items()
        for start in range(1, len(token))
        if token[:start] in scores and token[start:] in scores
    ]
    return [(left, right) for _, _, left, right in sorted(found)]


def _bpe(tokens: Sequence[str], merges: Sequence[Sequence[str]], added: Added) -> dict[str, Any]:
    """Return the definition of a BPE model, without normalizer, pre-tokenizer and decoder."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": token, **flags, "special": special} for number, token, special in added
        ],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [list(merge) for merge in merges],
        },
    }

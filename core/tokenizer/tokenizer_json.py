"""Writing a ``tokenizer.json``, the definition that Hugging Face's ``tokenizers`` library reads."""

from collections.abc import Mapping, Sequence
from typing import Any

SPACE = "\u2581"
"""What SentencePiece writes for a space."""

BYTES: dict[str, Any] = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": False,
}
GPT2 = [BYTES | {"use_regex": True}]
"""GPT-2's pattern is built into the byte-level step."""
DIGITS = {"type": "Digits", "individual_digits": True}
_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _cut(regex: str) -> list[dict[str, Any]]:
    return [{"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}, BYTES]


LLAMA3, QWEN2 = _cut(_PATTERN.replace("DIGITS", "{1,3}")), _cut(_PATTERN.replace("DIGITS", ""))
CUTS: dict[str, list[dict[str, Any]]] = {
    "default": GPT2,
    "gpt-2": GPT2,
    "smollm": [DIGITS, *GPT2],
    "llama-bpe": LLAMA3,
    "llama3": LLAMA3,
    "qwen2": QWEN2,
}
"""How text is cut before merging, by the names that llama.cpp gives to the rules."""
Added = Sequence[tuple[int, str, bool]]
"""Id, text and whether it is special, of every token that is found before the text is cut."""


def byte_level(
    pieces: Sequence[str], merges: Sequence[Sequence[str]], added: Added, rule: str
) -> dict[str, Any]:
    """Byte-level BPE (GPT-2): every byte has a character of its own. ``rule`` is a key of :data:`CUTS`."""
    result = _bpe(pieces, merges, added)
    result["model"]["ignore_merges"] = CUTS[rule] is LLAMA3  # whole words first, as tiktoken does
    result["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": CUTS[rule]}
    result["decoder"] = BYTES
    return result


def sentencepiece(
    pieces: Sequence[str], merges: Sequence[Sequence[str]], added: Added, *, prefix: bool
) -> dict[str, Any]:
    """BPE with byte fallback that writes spaces as U+2581; ``prefix``: every text begins with one more."""
    result = plain(pieces, merges, added)
    normalizers: list[dict[str, Any]] = [_replace(" ", SPACE)]
    decoders: list[dict[str, Any]] = [_replace(SPACE, " "), *result["decoder"]["decoders"]]
    if prefix:
        normalizers.insert(0, {"type": "Prepend", "prepend": SPACE})
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    result["normalizer"] = {"type": "Sequence", "normalizers": normalizers}
    result["decoder"] = {"type": "Sequence", "decoders": decoders}
    return result


def plain(pieces: Sequence[str], merges: Sequence[Sequence[str]], added: Added) -> dict[str, Any]:
    """BPE with byte fallback over the text as it is."""
    result = _bpe(pieces, merges, added)
    result["model"]["byte_fallback"] = True
    result["decoder"] = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}
    return result


def _replace(old: str, new: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": old}, "content": new}


def merges(scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """The merges that make SentencePiece's BPE, the best first: every way to make a piece of two others.

    SentencePiece keeps no merges. It joins the neighbours whose joint piece scores highest.
    """
    found = [
        (-score, start, piece[:start], piece[start:])
        for piece, score in scores.items()
        for start in range(1, len(piece))
        if piece[:start] in scores and piece[start:] in scores
    ]
    return [(left, right) for _, _, left, right in sorted(found)]


def _bpe(pieces: Sequence[str], merges: Sequence[Sequence[str]], added: Added) -> dict[str, Any]:
    """What all definitions have in common."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": piece, **flags, "special": special} for number, piece, special in added
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
            "vocab": {piece: number for number, piece in enumerate(pieces)},
            "merges": [list(merge) for merge in merges],
        },
    }

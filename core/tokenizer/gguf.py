"""The tokenizer in a GGUF file, as a ``tokenizer.json``.

GGUF keeps pieces, kinds, merges or scores, and the name of the rule by which text is cut before merging.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import InputError
from core.tokenizer import tokenizer_json
from core.tokenizer.huggingface import HuggingFaceTokenizer, TokenizerSettings
from core.tokenizer.tokenizer_json import CUTS, Added

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""Kinds of tokens, as GGUF numbers them (SentencePiece's own numbers)."""
PARTS = {"bos": "bos_token", "eos": "eos_token", "padding": "pad_token", "unknown": "unk_token"}


def tokenizer_from_gguf(fields: Mapping[str, Any], source: str) -> HuggingFaceTokenizer:
    """Build the tokenizer that a GGUF file's metadata describe.

    Raises :class:`InputError` for a kind of tokenizer that is not known here; ``source`` names the file.
    """
    own = {key.removeprefix("tokenizer.ggml."): value for key, value in fields.items()}
    kind = own.get("model")
    if kind not in ("gpt2", "llama") or "tokens" not in own:
        raise InputError(f"{source}: tokenizer {kind!r}; only gpt2 and llama are known: choose another model")
    pieces = own["tokens"]
    kinds = own.get("token_type", [NORMAL] * len(pieces))
    added = [
        (number, piece, kinds[number] != USER_DEFINED)
        for number, piece in enumerate(pieces)
        if kinds[number] in (CONTROL, USER_DEFINED, UNKNOWN)
    ]
    names = {
        part: pieces[number]
        for key, part in PARTS.items()
        if 0 <= (number := own.get(f"{key}_token_id", -1)) < len(pieces)
    }
    add_bos = own.get("add_bos_token", kind == "llama") and "bos_token" in names
    settings = TokenizerSettings(names, bool(add_bos), fields.get("tokenizer.chat_template", ""))
    needed = "merges" if kind == "gpt2" else "scores"
    if needed not in own:
        raise InputError(f"{source}: its tokenizer has no {needed}; get another copy of the model")
    build = _byte_level if kind == "gpt2" else _sentencepiece
    text = json.dumps(build(own, pieces, kinds, added, source), ensure_ascii=False)
    return HuggingFaceTokenizer(text, settings, source)


def _byte_level(
    own: Mapping[str, Any], pieces: Sequence[str], _: Sequence[int], added: Added, source: str
) -> dict[str, Any]:
    rule = own.get("pre", "default")
    if rule not in CUTS:
        raise InputError(
            f"{source}: text is cut by the rule {rule!r}; known are {', '.join(sorted(CUTS))}: "
            "import the model's Hugging Face folder"
        )
    return tokenizer_json.byte_level(pieces, [merge.split(" ") for merge in own["merges"]], added, rule)


def _sentencepiece(
    own: Mapping[str, Any], pieces: Sequence[str], kinds: Sequence[int], added: Added, _: str
) -> dict[str, Any]:
    normal = {piece: own["scores"][number] for number, piece in enumerate(pieces) if kinds[number] == NORMAL}
    prefix = own.get("add_space_prefix", True)
    return tokenizer_json.sentencepiece(pieces, tokenizer_json.merges(normal), added, prefix=prefix)

"""Convert the tokenizer in a GGUF file to a ``tokenizer.json``.

GGUF stores tokens, token types, merges or scores, and the name of the pre-tokenizer.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import InputError
from core.tokenizer import tokenizer_json
from core.tokenizer.hub_settings import TokenizerSettings
from core.tokenizer.huggingface import HuggingFaceTokenizer
from core.tokenizer.tokenizer_json import PRE_TOKENIZERS, Added

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""Token types of GGUF, which are those of SentencePiece."""
ROLES = {"bos": "bos_token", "eos": "eos_token", "padding": "pad_token", "unknown": "unk_token"}


def tokenizer_from_gguf(fields: Mapping[str, Any], source: str) -> HuggingFaceTokenizer:
    """Build the tokenizer that a GGUF file's metadata describe; ``source`` names the file in errors.

    Raises :class:`InputError` for unsupported tokenizers and for missing metadata.
    """
    own = {key.removeprefix("tokenizer.ggml."): value for key, value in fields.items()}
    model = own.get("model")
    if model not in ("gpt2", "llama") or "tokens" not in own:
        raise InputError(
            f"{source}: tokenizer {model!r}; only gpt2 and llama are supported: choose another model"
        )
    tokens = own["tokens"]
    types = own.get("token_type", [NORMAL] * len(tokens))
    added = [
        (number, token, types[number] != USER_DEFINED)
        for number, token in enumerate(tokens)
        if types[number] in (CONTROL, USER_DEFINED, UNKNOWN)
    ]
    names = {
        role: tokens[number]
        for key, role in ROLES.items()
        if 0 <= (number := own.get(f"{key}_token_id", -1)) < len(tokens)
    }
    add_bos = own.get("add_bos_token", model == "llama") and "bos_token" in names
    settings = TokenizerSettings(names, bool(add_bos), fields.get("tokenizer.chat_template", ""))
    required = "merges" if model == "gpt2" else "scores"
    if required not in own:
        raise InputError(f"{source}: its tokenizer has no {required}; get another copy of the model")
    build = _byte_level if model == "gpt2" else _sentencepiece
    definition = json.dumps(build(own, tokens, types, added, source), ensure_ascii=False)
    return HuggingFaceTokenizer(definition, settings, source)


def _byte_level(
    own: Mapping[str, Any], tokens: Sequence[str], _: Sequence[int], added: Added, source: str
) -> dict[str, Any]:
    name = own.get("pre", "default")
    if name not in PRE_TOKENIZERS:
        raise InputError(
            f"{source}: unknown pre-tokenizer {name!r}; known are {', '.join(sorted(PRE_TOKENIZERS))}: "
            "import the model's Hugging Face folder"
        )
    return tokenizer_json.byte_level(tokens, [merge.split(" ") for merge in own["merges"]], added, name)


def _sentencepiece(
    own: Mapping[str, Any], tokens: Sequence[str], types: Sequence[int], added: Added, _: str
) -> dict[str, Any]:
    normal = {token: own["scores"][number] for number, token in enumerate(tokens) if types[number] == NORMAL}
    definition = tokenizer_json.byte_fallback(tokens, tokenizer_json.merges(normal), added)
    return tokenizer_json.with_spaces(definition, prefix=own.get("add_space_prefix", True))

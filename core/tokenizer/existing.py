"""Read a tokenizer in any of the usual formats, to use it for a corpus.

=============================================  ========================================================
``OUT`` or ``OUT/tokenizer`` of another run    as it is, with its hash
``tokenizer.json``, or a folder with it        with ``tokenizer_config.json`` beside it, if there is one
SentencePiece model, or a folder with it       BPE or unigram; converted to ``tokenizer.json``
``encoder.json`` and ``vocab.bpe`` (GPT-2)     also named ``vocab.json`` and ``merges.txt``; converted
=============================================  ========================================================

A tokenizer that names no end-of-text token gets the first of :data:`EOS_NAMES` that it has, else a new one.
If it has no chat template, it gets ours, with its special tokens. New tokens follow the others, so that text
is encoded as before. Padding without a token of its own uses the end-of-text token.
"""

import json
import posixpath
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from core import manifest, storage
from core.errors import InputError
from core.tokenizer import definition as definitions
from core.tokenizer import hub_settings, sentencepiece_file, tokenizer_json
from core.tokenizer.hub_settings import TokenizerSettings
from core.tokenizer.huggingface import HuggingFaceTokenizer
from core.tokenizer.protocol import TOKENIZER_CONFIG, TOKENIZER_JSON, Tokenizer
from core.tokenizer.published import STAGE, load_published
from core.tokenizer.sentencepiece_model import CHAT_TEMPLATE, CHAT_TOKENS

EOS_NAMES = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>")
"""Usual end-of-text tokens."""
SENTENCEPIECE_FILES = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
GPT2_FILES = (("encoder.json", "vocab.bpe"), ("vocab.json", "merges.txt"))
"""Names of vocabulary and merges."""
REMEDY = "get the whole file again"


class Existing(NamedTuple):
    """A tokenizer that was not trained on the corpus."""

    tokenizer: Tokenizer
    format: str
    """Name of the format for people."""


def read_existing(path: str) -> Existing:
    """Read the tokenizer at ``path``, a file or a folder.

    Raises :class:`InputError` if there is none, or it is damaged or not supported, and
    :class:`core.errors.ManifestError` for the unfinished or altered tokenizer of another run.
    """
    for folder in (path, storage.join(path, STAGE)):
        listed = storage.join(folder, manifest.NAME)
        if storage.exists(listed) and hub_settings.json_object(listed).get("stage") == STAGE:
            return Existing(load_published(folder), "of another run")
    if storage.exists(storage.join(path, TOKENIZER_JSON)):
        return _read_definition(path, storage.join(path, TOKENIZER_JSON))
    for name in SENTENCEPIECE_FILES:
        if storage.exists(storage.join(path, name)):
            return _read_sentencepiece(path, storage.join(path, name))
    for vocabulary, merges in GPT2_FILES:
        if storage.exists(storage.join(path, vocabulary)) and storage.exists(storage.join(path, merges)):
            return _read_gpt2(path, storage.join(path, vocabulary), storage.join(path, merges))
    try:
        start = storage.read_bytes(path)[:100]
    except InputError:
        raise InputError(
            f"{path}: no tokenizer; name a {TOKENIZER_JSON}, a SentencePiece model, or a folder with one of "
            "them, with encoder.json and vocab.bpe, or of another run"
        ) from None
    read = _read_definition if start.lstrip().startswith(b"{") else _read_sentencepiece
    return read(posixpath.dirname(path) or ".", path)


def _read_definition(folder: str, path: str) -> Existing:
    definition = hub_settings.json_object(path)
    return Existing(_complete(definition, hub_settings.read(folder), path), TOKENIZER_JSON)


def _read_sentencepiece(folder: str, path: str) -> Existing:
    model = sentencepiece_file.parse(storage.read_bytes(path), path)
    settings = hub_settings.read(folder)
    names = {**model.names, **settings.names}
    add_bos = "bos_token" in names if settings.add_bos is None else settings.add_bos
    tokenizer = _complete(model.definition(), replace(settings, names=names, add_bos=add_bos), path)
    kind = "BPE" if model.type == sentencepiece_file.BPE else "unigram"
    return Existing(tokenizer, f"SentencePiece {kind}")


def _read_gpt2(folder: str, vocabulary_path: str, merges_path: str) -> Existing:
    tokens = _read_vocabulary(vocabulary_path)
    merges = _read_merges(merges_path, set(tokens))
    made = {left + right for left, right in merges}
    special = [(token, name) for token, name in enumerate(tokens) if len(name) > 1 and name not in made]
    if len(special) > len(tokens) // 100:
        raise InputError(
            f"{merges_path}: does not make {len(special)} of the {len(tokens)} tokens in {vocabulary_path}; "
            f"{REMEDY}"
        )
    config = storage.join(folder, TOKENIZER_CONFIG)
    values = hub_settings.json_object(config) if storage.exists(config) else {}
    name = str(values.get("tokenizer_class", "GPT2Tokenizer"))
    if not name.startswith("GPT2"):
        raise InputError(
            f"{folder}: vocabulary and merges of a {name}; only GPT-2's are supported: load it with "
            f"transformers' AutoTokenizer and save it, which writes a {TOKENIZER_JSON}"
        )
    added = [(token, name, True) for token, name in special]
    definition = tokenizer_json.byte_level(tokens, merges, added, "gpt-2")
    return Existing(_complete(definition, hub_settings.read(folder), vocabulary_path), "GPT-2")


def _read_vocabulary(path: str) -> list[str]:
    """Return the tokens in the order of their ids, which have no gaps."""
    found = hub_settings.json_object(path)
    ids = [number for number in found.values() if isinstance(number, int)]
    if sorted(ids) != list(range(len(found))) or not found:
        raise InputError(f"{path}: not a vocabulary: its ids are not 0, 1, 2, …; {REMEDY}")
    return sorted(found, key=found.__getitem__)


def _read_merges(path: str, tokens: set[str]) -> list[tuple[str, str]]:
    lines = hub_settings.read_text(path).split("\n")
    merges = []
    for number, line in enumerate(lines, 1):
        if not line or (number == 1 and line.startswith("#version")):
            continue
        left, _, right = line.rstrip("\r").partition(" ")
        if not {left, right, left + right} <= tokens:
            raise InputError(f"{path} line {number}: not a merge of two tokens of the vocabulary; {REMEDY}")
        merges.append((left, right))
    return merges


def _complete(definition: dict[str, Any], settings: TokenizerSettings, source: str) -> HuggingFaceTokenizer:
    """Return the tokenizer with an end-of-text token and a chat template."""
    try:
        present = definitions.names(definition) | {str(token["content"]) for token in settings.added}
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{source}: not a tokenizer ({type(error).__name__}); {REMEDY}") from None
    names, template, wanted = dict(settings.names), settings.chat_template, []
    if "eos_token" not in names:
        names["eos_token"] = next((name for name in EOS_NAMES if name in present), EOS_NAMES[0])
        wanted.append(names["eos_token"])
    if not template:
        template = CHAT_TEMPLATE
        wanted += CHAT_TOKENS
    added = [*settings.added, *(_special(name) for name in wanted if name not in present)]
    special = (*settings.special, *(name for name in wanted if name in present))
    complete = replace(settings, names=names, chat_template=template, added=tuple(added), special=special)
    return HuggingFaceTokenizer(json.dumps(definition, ensure_ascii=False), complete, source)


def _special(name: str) -> Mapping[str, Any]:
    return {"content": name, "special": True}

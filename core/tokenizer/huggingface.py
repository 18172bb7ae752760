"""Tokenizers of imported models: any ``tokenizer.json`` with byte-level or byte-fallback BPE or Unigram.

Based on Hugging Face's ``tokenizers`` library, configured so that text never encodes to special tokens.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tokenizers

from core import storage
from core.errors import InputError
from core.tokenizer.protocol import TOKENIZER_CONFIG, TOKENIZER_JSON
from core.tokenizer.tokenizer_json import SPACE

TEMPLATE_FILE = "chat_template.jinja"
NAMED_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")


@dataclass(frozen=True, slots=True)
class TokenizerSettings:
    """Settings in ``tokenizer_config.json``, next to the definition."""

    names: Mapping[str, str]
    """Tokens by role: ``bos_token``, ``eos_token``, ``pad_token``, ``unk_token``."""
    add_bos: bool = False
    """True if documents start with ``bos_token``."""
    chat_template: str = ""


class HuggingFaceTokenizer:
    """A tokenizer defined by the text of a ``tokenizer.json``; pickled as that text.

    Added tokens are special if the definition marks them so, the settings name them or the chat template
    contains them. Raises :class:`InputError` for a definition that the library rejects.
    """

    def __init__(self, definition: str, settings: TokenizerSettings, source: str = TOKENIZER_JSON) -> None:
        self._definition, self._settings = definition, settings
        try:
            parsed = json.loads(definition)
            definition_with_special = json.dumps(_mark_special(parsed, settings))
            self._tokenizer = tokenizers.Tokenizer.from_str(definition_with_special)
        except Exception as error:  # the library raises bare exceptions
            raise InputError(
                f"{source}: not a tokenizer ({' '.join(str(error).split())[:120]}); get the whole file again"
            ) from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True
        self._byte_level = _mentions(parsed.get("decoder"), "ByteLevel")
        self.sha256 = hashlib.sha256(definition.encode()).hexdigest()
        """Hash of the definition."""
        added = self._tokenizer.get_added_tokens_decoder()
        self.special = {token.content: number for number, token in added.items() if token.special}
        """Ids of the special tokens, which have no text, by name."""
        self._tokens = {number: token for token, number in self._tokenizer.get_vocab(True).items()}
        self.vocabulary_size = max(self._tokens, default=-1) + 1
        self.names = dict(settings.names)
        self.chat_template = settings.chat_template
        self.eos = self._named_id("eos_token", source)
        self.pad = self._named_id("pad_token", source) if "pad_token" in self.names else self.eos
        self.bos = self._named_id("bos_token", source) if settings.add_bos else None

    def __reduce__(self) -> tuple[type["HuggingFaceTokenizer"], tuple[str, TokenizerSettings]]:
        return HuggingFaceTokenizer, (self._definition, self._settings)

    def _named_id(self, role: str, source: str) -> int:
        name = self.names.get(role, "")
        token_id = self._tokenizer.token_to_id(name)
        if token_id is None:
            raise InputError(
                f"{source}: {role} = {name!r}, which is not one of its tokens; "
                f"name one in the {TOKENIZER_CONFIG} next to it"
            )
        return int(token_id)

    @staticmethod
    def load(folder: str) -> "HuggingFaceTokenizer":
        """Load the tokenizer of a Hugging Face folder.

        Raises :class:`InputError` if ``tokenizer.json`` is missing or unusable.
        """
        source = storage.join(folder, TOKENIZER_JSON)
        if not storage.exists(source):
            raise InputError(
                f"{folder}: has no {TOKENIZER_JSON}; load it with transformers' AutoTokenizer and save it"
            )
        definition = _read_text(source)
        return HuggingFaceTokenizer(definition, _settings(folder, definition), source)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without bos and eos."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def encode_array(self, text: str) -> npt.NDArray[np.int32]:
        """Return the token ids of a text as an array, without bos and eos."""
        return np.array(self.encode(text), np.int32)

    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer]) -> str:
        """Return the text of token ids. Special tokens are skipped, invalid UTF-8 becomes U+FFFD."""
        id_list = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
        return str(self._tokenizer.decode(id_list, skip_special_tokens=True))

    def byte_lengths(self) -> npt.NDArray[np.int32]:
        """Return the UTF-8 bytes of each token, ``int32[vocabulary_size]``; 0 for special tokens."""
        lengths = np.zeros(self.vocabulary_size, np.int32)
        added = self._tokenizer.get_added_tokens_decoder()
        for number, token in self._tokens.items():
            if number in added:
                lengths[number] = 0 if added[number].special else len(token.encode())
            elif self._byte_level:
                lengths[number] = len(token)  # each character represents one byte
            elif len(token) == len("<0x00>") and token.startswith("<0x"):
                lengths[number] = 1
            else:
                lengths[number] = len(token.replace(SPACE, " ").encode())
        return lengths

    def write(self, folder: str) -> None:
        """Write ``tokenizer.json`` and ``tokenizer_config.json`` for Hugging Face's libraries."""
        storage.write_atomic(storage.join(folder, TOKENIZER_JSON), self._definition.encode())
        write_settings(folder, self._settings)


def write_settings(folder: str, settings: TokenizerSettings) -> None:
    """Write ``tokenizer_config.json``."""
    values = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **settings.names,
        "add_bos_token": settings.add_bos,
        "clean_up_tokenization_spaces": False,
        **({"chat_template": settings.chat_template} if settings.chat_template else {}),
    }
    data = json.dumps(values, indent=2, ensure_ascii=False).encode() + b"\n"
    storage.write_atomic(storage.join(folder, TOKENIZER_CONFIG), data)


def _mark_special(parsed: dict[str, Any], settings: TokenizerSettings) -> dict[str, Any]:
    """Mark all added tokens as special that must not be encoded from text."""
    named = set(settings.names.values())

    def is_special(token: dict[str, Any]) -> bool:
        name = token["content"]
        in_template = bool(name.strip()) and name in settings.chat_template
        return bool(token["special"]) or name in named or in_template

    tokens = [token | {"special": is_special(token)} for token in parsed.get("added_tokens", [])]
    return parsed | {"added_tokens": tokens}


def _settings(folder: str, definition: str) -> TokenizerSettings:
    """Read the settings of a folder. ``add_bos_token`` defaults to the definition's post-processor."""
    path = storage.join(folder, TOKENIZER_CONFIG)
    values = json_object(path) if storage.exists(path) else {}
    names = {part: _content(values[part]) for part in NAMED_TOKENS if values.get(part)}
    add_bos = values.get("add_bos_token")
    if add_bos is None:
        bos = names.get("bos_token")
        add_bos = bos is not None and _mentions(json.loads(definition).get("post_processor"), bos)
    return TokenizerSettings(names, bool(add_bos), _template(folder, values))


def _template(folder: str, values: Mapping[str, Any]) -> str:
    """Return the chat template, from its own file or the settings; of several, the one named default."""
    path = storage.join(folder, TEMPLATE_FILE)
    if storage.exists(path):
        return _read_text(path)
    found = values.get("chat_template") or ""
    if isinstance(found, list):
        templates = {each.get("name"): each.get("template") for each in found}
        found = templates.get("default") or ""
    return str(found)


def _read_text(path: str) -> str:
    try:
        return storage.read_bytes(path).decode()
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8; get the file again") from None


def _content(token: Any) -> str:
    """Return the text of a token, which the settings may wrap in an object."""
    return str(token["content"] if isinstance(token, dict) else token)


def _mentions(part: Any, name: str) -> bool:
    """True if any key or value nested in ``part`` is ``name``."""
    if isinstance(part, dict):
        return any(key == name or _mentions(value, name) for key, value in part.items())
    if isinstance(part, list):
        return any(_mentions(value, name) for value in part)
    return bool(part == name)


def json_object(path: str) -> dict[str, Any]:
    """Read the JSON object in a file. Raises :class:`InputError` for any other content."""
    try:
        found = json.loads(storage.read_bytes(path))
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); get the file again") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: not a JSON object; get the file again")
    return found

"""Tokenizers that others have trained: any ``tokenizer.json`` of byte-level or byte-fallback BPE or Unigram.

Hugging Face's ``tokenizers`` library does the work. Here it is kept from reading special tokens out of text.
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

TEMPLATE = "chat_template.jinja"
NAMED = ("bos_token", "eos_token", "pad_token", "unk_token")


@dataclass(frozen=True, slots=True)
class TokenizerSettings:
    """What ``tokenizer_config.json`` adds to the definition."""

    names: Mapping[str, str]
    """Tokens by their part: ``bos_token``, ``eos_token``, ``pad_token``, ``unk_token``."""
    add_bos: bool = False
    """Whether documents begin with ``bos_token``."""
    chat_template: str = ""


class HuggingFaceTokenizer:
    """A tokenizer defined by the text of a ``tokenizer.json``. It pickles as that text.

    Special are the added tokens that the definition marks so, those that the settings name, and those that
    the chat template writes. Raises :class:`InputError` for a definition that the library refuses.
    """

    def __init__(self, definition: str, settings: TokenizerSettings, source: str = TOKENIZER_JSON) -> None:
        self._definition, self._settings = definition, settings
        try:
            parsed = json.loads(definition)
            # The words of this call's errors are the library's own.
            self._tokenizer = tokenizers.Tokenizer.from_str(json.dumps(_marked(parsed, settings)))
        except Exception as error:
            raise InputError(
                f"{source}: not a tokenizer ({' '.join(str(error).split())[:120]}); get the whole file again"
            ) from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True
        self._byte_level = _mentions(parsed.get("decoder"), "ByteLevel")
        self.sha256 = hashlib.sha256(definition.encode()).hexdigest()
        """The hash of the definition."""
        added = self._tokenizer.get_added_tokens_decoder()
        self.special = {token.content: number for number, token in added.items() if token.special}
        """Id of every token that stands for no text, by its name."""
        self._pieces = {number: piece for piece, number in self._tokenizer.get_vocab(True).items()}
        self.vocabulary_size = max(self._pieces, default=-1) + 1
        self.names = dict(settings.names)
        self.chat_template = settings.chat_template
        self.eos = self._named("eos_token", source)
        self.pad = self._named("pad_token", source) if "pad_token" in self.names else self.eos
        self.bos = self._named("bos_token", source) if settings.add_bos else None

    def __reduce__(self) -> tuple[type["HuggingFaceTokenizer"], tuple[str, TokenizerSettings]]:
        return HuggingFaceTokenizer, (self._definition, self._settings)

    def _named(self, part: str, source: str) -> int:
        name = self.names.get(part, "")
        number = self._tokenizer.token_to_id(name)
        if number is None:
            raise InputError(
                f"{source}: {part} = {name!r}, which is no token of it; "
                f"name one in {TOKENIZER_CONFIG} beside it"
            )
        return int(number)

    @staticmethod
    def load(folder: str) -> "HuggingFaceTokenizer":
        """The tokenizer of a Hugging Face folder.

        Raises :class:`InputError` if there is no ``tokenizer.json`` or it cannot be used.
        """
        source = storage.join(folder, TOKENIZER_JSON)
        if not storage.exists(source):
            raise InputError(
                f"{folder}: has no {TOKENIZER_JSON}; "
                "open it with transformers' AutoTokenizer and save it again"
            )
        definition = _text(source)
        return HuggingFaceTokenizer(definition, _settings(folder, definition), source)

    def encode(self, text: str) -> list[int]:
        """The token ids of a text, without bos and eos."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def encode_array(self, text: str) -> npt.NDArray[np.int32]:
        """The token ids of a text as an array, without bos and eos."""
        return np.array(self.encode(text), np.int32)

    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer]) -> str:
        """The text of token ids. Special tokens stand for no text; bytes that are not UTF-8 become U+FFFD."""
        plain = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
        return str(self._tokenizer.decode(plain, skip_special_tokens=True))

    def byte_lengths(self) -> npt.NDArray[np.int32]:
        """UTF-8 bytes that each token id stands for, ``int32[vocabulary_size]``; 0 for the special ones."""
        lengths = np.zeros(self.vocabulary_size, np.int32)
        added = self._tokenizer.get_added_tokens_decoder()
        for number, piece in self._pieces.items():
            if number in added:
                lengths[number] = 0 if added[number].special else len(piece.encode())
            elif self._byte_level:
                lengths[number] = len(piece)  # one character stands for one byte
            elif len(piece) == len("<0x00>") and piece.startswith("<0x"):
                lengths[number] = 1
            else:
                lengths[number] = len(piece.replace(SPACE, " ").encode())
        return lengths

    def write(self, folder: str) -> None:
        """Write ``tokenizer.json`` and ``tokenizer_config.json``, as Hugging Face reads them."""
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


def _marked(parsed: dict[str, Any], settings: TokenizerSettings) -> dict[str, Any]:
    """The definition in which all that must not be read out of text is marked special."""
    named = set(settings.names.values())

    def special(token: dict[str, Any]) -> bool:
        name = token["content"]
        written = bool(name.strip()) and name in settings.chat_template
        return bool(token["special"]) or name in named or written

    tokens = [token | {"special": special(token)} for token in parsed.get("added_tokens", [])]
    return parsed | {"added_tokens": tokens}


def _settings(folder: str, definition: str) -> TokenizerSettings:
    """The settings beside a definition. Absent ones are taken from the definition where it tells them."""
    path = storage.join(folder, TOKENIZER_CONFIG)
    values = json_object(path) if storage.exists(path) else {}
    names = {part: _content(values[part]) for part in NAMED if values.get(part)}
    add_bos = values.get("add_bos_token")
    if add_bos is None:
        bos = names.get("bos_token")
        add_bos = bos is not None and _mentions(json.loads(definition).get("post_processor"), bos)
    return TokenizerSettings(names, bool(add_bos), _template(folder, values))


def _template(folder: str, values: Mapping[str, Any]) -> str:
    """The chat template, from its own file or from the settings; of several the one named default."""
    path = storage.join(folder, TEMPLATE)
    if storage.exists(path):
        return _text(path)
    found = values.get("chat_template") or ""
    if isinstance(found, list):
        named = {each.get("name"): each.get("template") for each in found}
        found = named.get("default") or ""
    return str(found)


def _text(path: str) -> str:
    try:
        return storage.read_bytes(path).decode()
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8; get the file again") from None


def _content(token: Any) -> str:
    """A token's text, which the settings may wrap in an object."""
    return str(token["content"] if isinstance(token, dict) else token)


def _mentions(part: Any, name: str) -> bool:
    """Whether some key or value within ``part`` is ``name``."""
    if isinstance(part, dict):
        return any(key == name or _mentions(value, name) for key, value in part.items())
    if isinstance(part, list):
        return any(_mentions(value, name) for value in part)
    return bool(part == name)


def json_object(path: str) -> dict[str, Any]:
    """The JSON object in a file. Raises :class:`InputError` if it holds anything else."""
    try:
        found = json.loads(storage.read_bytes(path))
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); get the file again") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: not a JSON object; get the file again")
    return found

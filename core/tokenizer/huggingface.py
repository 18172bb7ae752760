"""Tokenizers of imported models: any ``tokenizer.json`` with byte-level or byte-fallback BPE or Unigram.

Based on Hugging Face's ``tokenizers`` library, configured so that text never encodes to control tokens.
"""

import functools
import hashlib
import json
import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import tokenizers

from core import storage
from core.errors import InputError
from core.tokenizer import definition as definitions
from core.tokenizer import hub_settings
from core.tokenizer.control import NONCHARACTERS, private_text
from core.tokenizer.hub_settings import TokenizerSettings
from core.tokenizer.protocol import TOKENIZER_CONFIG, TOKENIZER_JSON, Encoding, Mark, id_array
from core.tokenizer.tokenizer_json import BYTE_OF_CHARACTER, SPACE

BYTE_TOKEN = re.compile("<0x([0-9A-F]{2})>")
ANCHORS = (NONCHARACTERS[0], "\n", ".", "0")
"""Characters that rarely merge with others."""


class HuggingFaceTokenizer:
    """A tokenizer defined by the text of a ``tokenizer.json``; pickled as that text.

    Added tokens are special if the definition or the settings mark them so. Control tokens are these and the
    added tokens that the chat template contains. In the library's tokenizer they have random names, which
    stand for them in text: so the library applies its own rules to them, and text cannot contain them.

    Raises :class:`InputError` for a definition that the library rejects.
    """

    def __init__(self, definition: str, settings: TokenizerSettings, source: str = TOKENIZER_JSON) -> None:
        try:
            parsed = json.loads(definition)
            complete = definitions.with_added_tokens(parsed, settings.added, settings.all_special)
            if complete is not parsed:
                definition = json.dumps(complete, ensure_ascii=False)
            added = {token["content"]: token for token in complete.get("added_tokens") or ()}
            control = _control_tokens(added, settings)
            self._private = _private_names(control)
            self._tokenizer = tokenizers.Tokenizer.from_str(
                json.dumps(definitions.renamed(complete, self._private))
            )
            bos_name = settings.names.get("bos_token", "")
            adds_bos = definitions.mentions(complete.get("post_processor"), bos_name)
        except Exception as error:  # the library raises bare exceptions
            raise InputError(
                f"{source}: not a tokenizer ({' '.join(str(error).split())[:120]}); get the whole file again"
            ) from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._definition = definition
        self._settings = replace(
            settings, add_bos=adds_bos if settings.add_bos is None else settings.add_bos, added=()
        )
        self._byte_level = definitions.mentions(complete.get("decoder"), "ByteLevel")
        self._space = SPACE if definitions.mentions(complete.get("decoder"), SPACE) else " "
        self.sha256 = hashlib.sha256(definition.encode()).hexdigest()
        """Hash of the definition."""
        self._names = {private: name for name, private in self._private.items()}
        self._added = frozenset(added)
        self.control = {name: self._id(name) for name in control}
        """Ids of the tokens that text does not encode to, by name."""
        self.special = {
            name: self._id(name)
            for name in control
            if added[name].get("special") or name in settings.all_special
        }
        """Ids of the special tokens, which have no text, by name."""
        self._special_ids = frozenset(self.special.values())
        self._control_ids = frozenset(self.control.values())
        self._separator = next((self._private[name] for name in control if not _has_flags(added[name])), "")
        self.vocabulary_size = max(self._tokenizer.get_vocab(True).values(), default=-1) + 1
        self.names = dict(settings.names)
        self.chat_template = settings.chat_template
        self.eos = self._named_id("eos_token", source)
        pad = self._tokenizer.token_to_id(self._private.get(self.names.get("pad_token", ""), ""))
        self.pad = self.eos if pad is None else int(pad)
        self.bos = self._named_id("bos_token", source) if self._settings.add_bos else None

    def __reduce__(self) -> tuple[Callable[[bytes], "HuggingFaceTokenizer"], tuple[bytes]]:
        return _unpickle, (pickle.dumps((self._definition, self._settings)),)

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
        return HuggingFaceTokenizer(hub_settings.read_text(source), hub_settings.read(folder), source)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without bos and eos."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def encode_array(self, text: str) -> npt.NDArray[np.int32]:
        """Return the token ids of a text as an array, without bos and eos."""
        return id_array(self.encode(text))

    def encode_batch(self, texts: Sequence[str]) -> list[npt.NDArray[np.int32]]:
        """Return the token ids of each text, without bos and eos.

        The library encodes in threads of its own, without the interpreter lock;
        ``TOKENIZERS_PARALLELISM=false`` limits it to the calling thread.
        """
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [id_array(each.ids) for each in encodings]

    def encode_marked(self, text: str, marks: Sequence[Mark], *, continues: bool = False) -> Encoding:
        """Encode a text with control tokens at ``marks``, which are in order and do not overlap.

        ``continues``: the text continues another one, so that no space is put in front of it. Marks that the
        tokenizer does not recognise where they are are encoded as text, such as those of ``single_word``.
        """
        names = {token: self._private[name] for name, token in self.control.items()}
        joined, edges, joined_edges, position = "", [0], [0], 0
        for mark in marks:
            joined += text[position : mark.start]
            joined_edges += [len(joined), len(joined) + len(names[mark.token])]
            edges += [mark.start, mark.end]
            joined += names[mark.token]
            position = mark.end
        joined += text[position:]
        ids, offsets = self._encode_with_offsets(joined, continues=continues)
        recognised = [index for index, token in enumerate(ids) if token in self._control_ids]
        if len(recognised) < len(marks):
            spans = offsets[recognised]
            kept = [
                mark
                for mark, start, end in zip(marks, joined_edges[1::2], joined_edges[2::2], strict=True)
                if ((spans[:, 0] < end) & (spans[:, 1] > start)).any()
            ]
            return self.encode_marked(text, kept, continues=continues)
        edges.append(len(text))
        joined_edges.append(len(joined))
        original = np.interp(offsets, joined_edges, edges).astype(np.int64)
        return Encoding(ids, original[:, 0], original[:, 1])

    def _encode_with_offsets(self, text: str, *, continues: bool) -> tuple[list[int], npt.NDArray[np.int64]]:
        for anchor in ANCHORS if continues else ():
            # No space is put in front of text that follows other text: remove the ids of the latter.
            prefix = self._separator + anchor
            before = self._tokenizer.encode(prefix, add_special_tokens=False)
            found = self._tokenizer.encode(prefix + text, add_special_tokens=False)
            start = len(before)
            offsets = np.array(found.offsets, np.int64).reshape(-1, 2) - len(prefix)
            if found.ids[:start] == before.ids and (offsets[:start, 1] <= 0).all():
                return found.ids[start:], np.maximum(offsets[start:], 0)
        found = self._tokenizer.encode(text, add_special_tokens=False)
        return found.ids, np.array(found.offsets, np.int64).reshape(-1, 2)

    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer]) -> str:
        """Return the text of token ids. Special tokens are skipped, invalid UTF-8 becomes U+FFFD."""
        id_list = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
        shown = [number for number in id_list if number not in self._special_ids]
        text = str(self._tokenizer.decode(shown, skip_special_tokens=False))
        if not self._control_ids.isdisjoint(shown):
            for private, name in self._names.items():
                text = text.replace(private, name)
        return text

    def token_bytes(self, token: int) -> bytes:
        """Return the UTF-8 bytes of a token, which may be part of a character; empty for special tokens."""
        private = self._tokenizer.id_to_token(token)
        if private is None or token in self._special_ids:
            return b""
        name = self._names.get(private, private)
        if name in self._added:
            return name.encode()
        if self._byte_level and BYTE_OF_CHARACTER.keys() >= set(name):
            return bytes(BYTE_OF_CHARACTER[character] for character in name)
        if byte := BYTE_TOKEN.fullmatch(name):
            return bytes.fromhex(byte[1])
        return name.replace(self._space, " ").encode()

    def byte_lengths(self) -> npt.NDArray[np.int32]:
        """Return the UTF-8 bytes of each token, ``int32[vocabulary_size]``; 0 for special tokens."""
        tokens = range(self.vocabulary_size)
        return np.fromiter((len(self.token_bytes(token)) for token in tokens), np.int32, len(tokens))

    def write(self, folder: str) -> None:
        """Write ``tokenizer.json`` and ``tokenizer_config.json`` for Hugging Face's libraries.

        The definition's post-processor puts bos in front of texts if documents start with it: transformers
        does not look at ``add_bos_token``.
        """
        definition = self._definition
        parsed = json.loads(definition)
        complete = definitions.with_bos(parsed, self.names.get("bos_token", ""), self.bos)
        if complete is not parsed:
            definition = json.dumps(complete, ensure_ascii=False)
        storage.write_atomic(storage.join(folder, TOKENIZER_JSON), definition.encode())
        hub_settings.write(folder, self._settings)

    def _id(self, name: str) -> int:
        found = self._tokenizer.token_to_id(self._private.get(name, name))
        assert found is not None
        return found

    def _named_id(self, role: str, source: str) -> int:
        name = self.names.get(role, "")
        token_id = self._tokenizer.token_to_id(self._private.get(name, name))
        if token_id is None:
            raise InputError(
                f"{source}: {role} = {name!r}, which is not one of its tokens; "
                f"name one in the {TOKENIZER_CONFIG} next to it"
            )
        return int(token_id)


@functools.lru_cache(maxsize=2)
def _unpickle(state: bytes) -> HuggingFaceTokenizer:
    """Return one tokenizer for all tasks of a Spark worker, so that it is made once."""
    return HuggingFaceTokenizer(*pickle.loads(state))


def _control_tokens(added: Mapping[str, Mapping[str, Any]], settings: TokenizerSettings) -> list[str]:
    """Return the names of the added tokens that must not be encoded from text."""
    special = set(settings.all_special)
    return [
        name
        for name, token in added.items()
        if token.get("special") or name in special or (name.strip() and name in settings.chat_template)
    ]


def _private_names(names: Sequence[str]) -> dict[str, str]:
    """Return a random name of Unicode noncharacters for each of ``names``; none is part of another."""
    prefix = private_text()
    digits = (NONCHARACTERS[index >> shift & 31] for index in range(len(names)) for shift in (15, 10, 5, 0))
    return {name: prefix + "".join(next(digits) for _ in range(4)) for name in names}


def _has_flags(token: Mapping[str, Any]) -> bool:
    return any(token.get(flag) for flag in definitions.FLAGS)

"""The interface of all tokenizers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

TOKENIZER_JSON = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
"""Files of a tokenizer in a Hugging Face folder."""


class Mark(NamedTuple):
    """The name of a control token at ``text[start:end]``, which is to be encoded as that token."""

    start: int
    end: int
    token: int


@dataclass(frozen=True, slots=True)
class Encoding:
    """Token ids, and the span of characters that each token encodes. Neighbouring spans can overlap."""

    ids: list[int]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]


class Tokenizer(Protocol):
    """Converts text to token ids and back. Text never encodes to special tokens."""

    @property
    def vocabulary_size(self) -> int:
        """One more than the largest id."""

    @property
    def bos(self) -> int | None:
        """Id of the token at the start of every document; None if documents start without one."""

    @property
    def eos(self) -> int:
        """Id of the token at the end of every document or answer."""

    @property
    def pad(self) -> int:
        """Id of the padding token."""

    @property
    def special(self) -> Mapping[str, int]:
        """Ids of the special tokens, which have no text, by name."""

    @property
    def control(self) -> Mapping[str, int]:
        """Ids of the tokens that text does not encode to, by name.

        These are the special tokens, and added tokens that the chat template writes, such as ``<think>``.
        """

    @property
    def names(self) -> Mapping[str, str]:
        """Names of ``bos_token``, ``eos_token`` and other tokens by role; variables of chat templates."""

    @property
    def sha256(self) -> str:
        """Hash of everything that determines token ids."""

    @property
    def chat_template(self) -> str:
        """Jinja template that renders a conversation; empty if there is none."""

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without bos and eos."""

    def encode_array(self, text: str) -> npt.NDArray[np.int32]:
        """Return the token ids of a text as an array, without bos and eos."""

    def encode_batch(self, texts: Sequence[str]) -> list[npt.NDArray[np.int32]]:
        """Return the token ids of each text, without bos and eos."""

    def encode_marked(self, text: str, marks: Sequence[Mark], *, continues: bool = False) -> Encoding:
        """Encode a text with control tokens at ``marks``, which are in order and do not overlap.

        ``continues``: the text continues another one, so that no space is put in front of it.
        """

    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer]) -> str:
        """Return the text of token ids. Special tokens are skipped, invalid UTF-8 becomes U+FFFD."""

    def token_bytes(self, token: int) -> bytes:
        """Return the UTF-8 bytes of a token, which may be part of a character; empty for special tokens."""

    def byte_lengths(self) -> npt.NDArray[np.int32]:
        """Return the UTF-8 bytes of each token, ``int32[vocabulary_size]``; 0 for special tokens."""

    def write(self, folder: str) -> None:
        """Write ``tokenizer.json`` and ``tokenizer_config.json`` for Hugging Face's libraries."""


def id_array(ids: Sequence[int]) -> npt.NDArray[np.int32]:
    """Return token ids as an array; for many of them, ``fromiter`` is faster than ``array``."""
    return np.fromiter(ids, np.int32, len(ids))

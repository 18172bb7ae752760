"""The interface of all tokenizers."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

TOKENIZER_JSON = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
"""Files of a tokenizer in a Hugging Face folder."""


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
    def names(self) -> Mapping[str, str]:
        """Names of ``bos_token``, ``eos_token`` and ``pad_token``; variables of chat templates."""

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

    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer]) -> str:
        """Return the text of token ids. Special tokens are skipped, invalid UTF-8 becomes U+FFFD."""

    def byte_lengths(self) -> npt.NDArray[np.int32]:
        """Return the UTF-8 bytes of each token, ``int32[vocabulary_size]``; 0 for special tokens."""

    def write(self, folder: str) -> None:
        """Write ``tokenizer.json`` and ``tokenizer_config.json`` for Hugging Face's libraries."""

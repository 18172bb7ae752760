"""What every tokenizer here can do."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

TOKENIZER_JSON = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
"""The two files of a tokenizer in a Hugging Face folder."""


class Tokenizer(Protocol):
    """Text to token ids and back. No text encodes to a special token."""

    @property
    def vocabulary_size(self) -> int:
        """One more than the largest id."""

    @property
    def bos(self) -> int | None:
        """The token that begins every document; None if documents begin without one."""

    @property
    def eos(self) -> int:
        """The token that ends every document, or an answer."""

    @property
    def pad(self) -> int:
        """The token that fills up; it stands for nothing."""

    @property
    def special(self) -> Mapping[str, int]:
        """Id of every token that stands for no text, by its name."""

    @property
    def names(self) -> Mapping[str, str]:
        """``bos_token``, ``eos_token`` and ``pad_token`` by name, as chat templates ask for them."""

    @property
    def sha256(self) -> str:
        """The hash of what decides about ids."""

    @property
    def chat_template(self) -> str:
        """How a conversation becomes text (Jinja); empty if there is no such convention."""

    def encode(self, text: str) -> list[int]:
        """The token ids of a text, without bos and eos."""

    def encode_array(self, text: str) -> npt.NDArray[np.int32]:
        """The token ids of a text as an array, without bos and eos."""

    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer]) -> str:
        """The text of token ids. Special tokens stand for no text; bytes that are not UTF-8 become U+FFFD."""

    def byte_lengths(self) -> npt.NDArray[np.int32]:
        """UTF-8 bytes that each token id stands for, ``int32[vocabulary_size]``; 0 for the special ones."""

    def write(self, folder: str) -> None:
        """Write ``tokenizer.json`` and ``tokenizer_config.json``, as Hugging Face reads them."""

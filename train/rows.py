"""Packed rows of tokens, from wherever: a corpus' shards, or the examples of a fine-tuning."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from core.shards import Shards, SplitName
from train.batch import Batch, make_batch, piece_numbers
from train.permutation import Integers


@dataclass(frozen=True, slots=True)
class Read:
    """n rows of t+1 tokens."""

    tokens: npt.NDArray[np.unsignedinteger]
    """[n, t+1]."""
    pieces: Integers
    """int64 [n, t+1]: number of the piece that each token belongs to; -1 for padding."""
    learn: npt.NDArray[np.bool_] | None = None
    """[n, t+1]: the tokens to learn; None: all."""


class PackedRows(Protocol):
    """Rows, numbered per split and source."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of all sources, sorted."""

    @property
    def sequence_length(self) -> int:
        """t; a row has one token more."""

    @property
    def sha256(self) -> str:
        """A hash of all rows."""

    def rows(self, split: SplitName, source: str) -> int:
        """Number of rows."""

    def read(self, split: SplitName, source: str, indices: Integers) -> Read:
        """The rows asked for, in that order."""


class ShardRows:
    """The rows of a set of shards; every token is to be learned."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self.sources = shards.sources
        self.sequence_length = shards.facts.sequence_length
        self.sha256 = shards.manifest.sha256()

    def rows(self, split: SplitName, source: str) -> int:
        """Number of rows."""
        return self.shards.rows(split, source)

    def read(self, split: SplitName, source: str, indices: Integers) -> Read:
        """The rows asked for, in that order."""
        tokens, spans = self.shards.read(split, source, indices)
        return Read(tokens, piece_numbers(spans, tokens.shape[1]))


def read_rows(
    rows: PackedRows, split: SplitName, sources: Sequence[str], source: Integers, row: Integers
) -> tuple[Batch, npt.NDArray[np.uint32]]:
    """The rows (``sources[source[i]]``, ``row[i]``) in that order: as a batch, and their bare tokens."""
    tokens = np.empty((len(row), rows.sequence_length + 1), np.uint32)
    pieces = np.empty(tokens.shape, np.int64)
    learn = np.ones(tokens.shape, np.bool_)
    for index in np.unique(source):
        here = source == index
        read = rows.read(split, sources[index], row[here])
        tokens[here], pieces[here] = read.tokens, read.pieces
        if read.learn is not None:
            learn[here] = read.learn
    return make_batch(tokens, pieces, learn), tokens

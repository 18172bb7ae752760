"""Datasets of packed rows: corpus shards, or the examples of a fine-tuning run.

Shapes: n rows of T + 1 tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from core.shards import Shards, SplitName
from train.data.batch import Batch, document_ids_from_spans, make_batch
from train.data.permutation import Int64Array
from train.data.stream import RowIndices, Stream


@dataclass(frozen=True, slots=True)
class PackedRows:
    """n packed rows."""

    tokens: npt.NDArray[np.unsignedinteger]
    """``[n, T + 1]``."""
    document_ids: npt.NDArray[np.signedinteger]
    """``[n, T + 1]``: document of each token, unique within its row; -1 for padding."""
    loss_mask: npt.NDArray[np.bool_] | None = None
    """``[n, T + 1]``: True for tokens to learn; None: all."""

    def without(self, removed: npt.NDArray[np.bool_], pad: int) -> "PackedRows":
        """Return the rows with padding in place of some tokens; ``removed`` is bool ``[n, T + 1]``."""
        tokens = np.where(removed, self.tokens.dtype.type(pad), self.tokens)
        return PackedRows(tokens, np.where(removed, -1, self.document_ids), self.loss_mask)

    def num_tokens(self, sources: Int64Array, num_sources: int) -> Int64Array:
        """Return the number of tokens without padding of each source, given the sources of the rows."""
        found = np.zeros(num_sources, np.int64)
        np.add.at(found, sources, (self.document_ids >= 0).sum(axis=1))
        return found

    def batch(self) -> Batch:
        """Return inputs and targets."""
        return make_batch(self.tokens, self.document_ids, self.loss_mask)


class PackedDataset(Protocol):
    """Packed rows with an index per split and source."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of all sources, sorted."""

    @property
    def sequence_length(self) -> int:
        """Sequence length T; a row has one token more."""

    @property
    def pad(self) -> int:
        """Token of padding."""

    @property
    def sha256(self) -> str:
        """Hash of all rows."""

    def num_rows(self, split: SplitName, source: str) -> int:
        """Return the number of rows."""

    def read(self, split: SplitName, source: str, indices: Int64Array) -> PackedRows:
        """Return the rows at ``indices``, in that order."""


class ShardDataset:
    """Rows of token shards; all tokens are learned."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self.sources = shards.sources
        self.sequence_length = shards.facts.sequence_length
        self.pad = shards.facts.pad
        self.sha256 = shards.manifest.sha256()

    def num_rows(self, split: SplitName, source: str) -> int:
        """Return the number of rows."""
        return self.shards.rows(split, source)

    def read(self, split: SplitName, source: str, indices: Int64Array) -> PackedRows:
        """Return the rows at ``indices``, in that order."""
        tokens, spans = self.shards.read(split, source, indices)
        return PackedRows(tokens, document_ids_from_spans(spans, tokens.shape[1]))


def read_rows(
    dataset: PackedDataset, split: SplitName, sources: Sequence[str], rows: RowIndices
) -> PackedRows:
    """Read ``rows``, whose sources index ``sources``."""
    tokens = np.empty((len(rows), dataset.sequence_length + 1), np.uint32)
    document_ids = np.empty(tokens.shape, np.int64)
    loss_mask = np.ones(tokens.shape, np.bool_)
    for source in np.unique(rows.sources):
        selected = rows.sources == source
        read = dataset.read(split, sources[source], rows.indices[selected])
        tokens[selected], document_ids[selected] = read.tokens, read.document_ids
        if read.loss_mask is not None:
            loss_mask[selected] = read.loss_mask
    return PackedRows(tokens, document_ids, loss_mask)


def read_stream(
    dataset: PackedDataset, stream: Stream, positions: Int64Array
) -> tuple[PackedRows, Int64Array]:
    """Read the rows that are trained on at ``positions``, as the stream's edits leave them.

    Also returns the number of tokens without padding of each of ``stream.sources``.
    """
    rows = stream.locate(positions)
    packed = read_rows(dataset, "train", stream.sources, rows)
    if stream.edits:
        packed = packed.without(stream.removed(positions, rows, packed.tokens.shape[1]), dataset.pad)
    return packed, packed.num_tokens(rows.sources, len(stream.sources))

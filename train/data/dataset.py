"""Datasets of packed rows: corpus shards, or the examples of a fine-tuning run.

Shapes: n rows of T + 1 tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from core.shards import Rows, Shards, SplitName
from core.shards.inspection import document_ids
from train.data.batch import Batch, document_ids_from_segments
from train.data.edits import RemovedTokens
from train.data.permutation import Int64Array
from train.data.stream import RowIndices, Stream


@dataclass(frozen=True, slots=True)
class PackedRows:
    """n packed rows."""

    tokens: npt.NDArray[np.unsignedinteger]
    """``[n, T + 1]``."""
    document_ids: npt.NDArray[np.signedinteger]
    """int16 or int32 ``[n, T + 1]``: document of each token, unique within its row; -1 for padding."""
    loss_mask: npt.NDArray[np.bool_] | None = None
    """``[n, T + 1]``: True for tokens to learn; None: all, and the same for all rows of a dataset."""
    lengths: Int64Array | None = None
    """int64 ``[n]``: numbers of tokens without padding; None: they are counted."""

    def take(self, rows: Int64Array | slice) -> "PackedRows":
        """Return some of the rows; those of a slice share memory."""
        mask = None if self.loss_mask is None else self.loss_mask[rows]
        lengths = None if self.lengths is None else self.lengths[rows]
        return PackedRows(self.tokens[rows], self.document_ids[rows], mask, lengths)

    def without(self, removed: RemovedTokens, pad: int) -> "PackedRows":
        """Return the rows with padding in place of some tokens."""
        if not len(removed.row):
            return self
        tokens, document_ids = self.tokens.copy(), self.document_ids.copy()
        for row, start, stop in zip(*(column.tolist() for column in removed), strict=True):
            tokens[row, start:stop] = pad
            document_ids[row, start:stop] = -1
        return PackedRows(tokens, document_ids, self.loss_mask)

    def num_tokens(self, sources: Int64Array, num_sources: int) -> Int64Array:
        """Return the number of tokens without padding of each source, given the sources of the rows."""
        lengths = (self.document_ids >= 0).sum(axis=1) if self.lengths is None else self.lengths
        return np.bincount(sources, lengths, num_sources).astype(np.int64)

    def batch(self) -> Batch:
        """Return the rows as tensors, which share their memory."""
        mask = None if self.loss_mask is None else torch.from_numpy(self.loss_mask)
        return Batch(torch.from_numpy(self.tokens), torch.from_numpy(self.document_ids), mask)


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
        tokens, segments = self.shards.read_segments(split, source, indices)
        document_ids = document_ids_from_segments(segments, tokens.shape[1])
        before = np.append(0, np.cumsum(segments.length, dtype=np.int64))
        return PackedRows(tokens, document_ids, lengths=np.diff(before[segments.bounds]))

    def document_ids(self, split: SplitName, source: str, index: int) -> list[str]:
        """Return the ids of the documents in a row."""
        return document_ids(Rows(*self.shards.read(split, source, np.array([index]))))


def read_rows(
    dataset: PackedDataset, split: SplitName, sources: Sequence[str], rows: RowIndices
) -> PackedRows:
    """Read ``rows``, whose sources index ``sources``."""
    parts = [
        dataset.read(split, sources[source], rows.indices[rows.sources == source])
        for source in np.unique(rows.sources).tolist()
    ]
    if len(parts) == 1:
        return parts[0]
    # The rows are grouped by source: restore the requested order.
    order = np.argsort(np.argsort(rows.sources, kind="stable"))
    masks = [part.loss_mask for part in parts if part.loss_mask is not None]
    lengths = [part.lengths for part in parts if part.lengths is not None]
    return PackedRows(
        np.concatenate([part.tokens for part in parts])[order],
        np.concatenate([part.document_ids for part in parts])[order],
        np.concatenate(masks)[order] if masks else None,
        np.concatenate(lengths)[order] if len(lengths) == len(parts) else None,
    )


def read_stream(
    dataset: PackedDataset, stream: Stream, positions: Sequence[Int64Array]
) -> Iterator[tuple[PackedRows, Int64Array]]:
    """Yield the rows that are trained on in each of some steps, as the stream's edits leave them.

    ``positions``: those of each step, int64 ``[n]``. All rows are read at once; those of a step share memory
    with the others. With them come their sources, int64 ``[n]``, which index ``stream.sources``.
    """
    flat = np.concatenate(positions)
    rows = stream.locate(flat)
    every = read_rows(dataset, "train", stream.sources, rows)
    if stream.edits:
        every = every.without(stream.removed(flat, rows), dataset.pad)
    first = 0
    for part in positions:
        step = slice(first, first := first + len(part))
        yield every.take(step), rows.sources[step]

"""Datasets of packed rows: corpus shards, or the examples of a fine-tuning run.

Shapes: n rows of T + 1 tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from core.shards import Shards, SplitName
from train.data.batch import Batch, document_ids_from_segments
from train.data.permutation import Int64Array
from train.data.stream import RowIndices


@dataclass(frozen=True, slots=True)
class PackedRows:
    """n packed rows."""

    tokens: npt.NDArray[np.unsignedinteger]
    """``[n, T + 1]``."""
    document_ids: npt.NDArray[np.int32]
    """``[n, T + 1]``: document of each token, unique within its row; -1 for padding."""
    loss_mask: npt.NDArray[np.bool_] | None = None
    """``[n, T + 1]``: True for tokens to learn; None: all, and the same for all rows of a dataset."""


class PackedDataset(Protocol):
    """Packed rows with an index per split and source."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of all sources, sorted."""

    @property
    def sequence_length(self) -> int:
        """Sequence length T; a row has one token more."""

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
        self.sha256 = shards.manifest.sha256()

    def num_rows(self, split: SplitName, source: str) -> int:
        """Return the number of rows."""
        return self.shards.rows(split, source)

    def read(self, split: SplitName, source: str, indices: Int64Array) -> PackedRows:
        """Return the rows at ``indices``, in that order."""
        tokens, segments = self.shards.read_segments(split, source, indices)
        return PackedRows(tokens, document_ids_from_segments(segments, tokens.shape[1]))


def read_batch(
    dataset: PackedDataset, split: SplitName, sources: Sequence[str], rows: RowIndices
) -> Batch:
    """Read ``rows``, whose sources index ``sources``."""
    parts = {
        source: dataset.read(split, sources[source], rows.indices[rows.sources == source])
        for source in np.unique(rows.sources).tolist()
    }
    if len(parts) == 1:
        (read,) = parts.values()
        return Batch.from_arrays(read.tokens, read.document_ids, read.loss_mask)
    # The rows are grouped by source: restore the requested order.
    order = np.argsort(np.argsort(rows.sources, kind="stable"))
    tokens = np.concatenate([read.tokens for read in parts.values()])[order]
    documents = np.concatenate([read.document_ids for read in parts.values()])[order]
    masks = [read.loss_mask for read in parts.values() if read.loss_mask is not None]
    return Batch.from_arrays(tokens, documents, np.concatenate(masks)[order] if masks else None)

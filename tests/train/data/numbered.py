"""A dataset whose tokens all differ, so that every one of them can be followed through training."""

from collections.abc import Mapping

import numpy as np

from core.shards import SplitName
from train.data.dataset import PackedDataset, PackedRows, read_stream
from train.data.permutation import Int64Array
from train.data.stream import Stream

ROW_LENGTH = 5
PAD = 2**31


class NumberedRows:
    """Rows of two documents, the second shorter in every other row; row r of source s has s, r and column."""

    sequence_length = ROW_LENGTH - 1
    pad = PAD
    sha256 = "numbered"

    def __init__(self, num_rows: Mapping[str, int]) -> None:
        self.sources = tuple(sorted(num_rows))
        self._num_rows = num_rows

    def num_rows(self, split: SplitName, source: str) -> int:
        return self._num_rows[source] if split == "train" else 0

    def read(self, split: SplitName, source: str, indices: Int64Array) -> PackedRows:
        columns = np.arange(ROW_LENGTH)
        document_ids = np.tile(columns // 2 % 2, (len(indices), 1)).astype(np.int32)
        document_ids[indices % 2 == 0, -1] = -1
        tokens = (self.sources.index(source) << 16) + indices[:, None] * ROW_LENGTH + columns
        return PackedRows(np.where(document_ids < 0, PAD, tokens).astype(np.uint32), document_ids)


def read_step(dataset: PackedDataset, stream: Stream, positions: Int64Array) -> tuple[PackedRows, Int64Array]:
    """Return the rows at some positions and the number of tokens of each source."""
    ((packed, sources),) = read_stream(dataset, stream, [positions])
    return packed, packed.num_tokens(sources, len(stream.sources))

"""Batches of packed sequences as tensors, and their hash.

Shapes: B sequences of T tokens; packed rows have T + 1 tokens.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from core.hashing import GOLDEN, mix
from core.shards import Segments
from train.data.permutation import Int64Array

Ids = TypeVar("Ids", Tensor, npt.NDArray[Any])

IGNORE_INDEX = -100
"""Target that does not contribute to the loss."""


@dataclass(frozen=True, slots=True)
class Batch:
    """B packed rows as they are read; what a model takes is derived from them on their device."""

    tokens: Tensor
    """uint16, uint32 or int64 ``[B, T + 1]``."""
    documents: Tensor
    """int16 or int32 ``[B, T + 1]``: document of each token, unique within its row; -1 for padding."""
    loss_mask: Tensor | None = None
    """bool ``[B, T + 1]``: True for tokens to learn; None: all."""

    @property
    def inputs(self) -> Tensor:
        """int64 ``[B, T]``."""
        return self.tokens[:, :-1].long()

    @property
    def document_ids(self) -> Tensor:
        """int32 ``[B, T]``: document of each input."""
        return self.documents[:, :-1].int()

    @property
    def targets(self) -> Tensor:
        """int64 ``[B, T]``: the next token; IGNORE_INDEX for padding, at document ends and where masked."""
        following = self.tokens[:, 1:].to(torch.int64, copy=True)  # int64 tokens too must stay as they are
        return following.masked_fill_(~self._is_target(), IGNORE_INDEX)

    @property
    def num_targets(self) -> int:
        """Number of targets that contribute to the loss."""
        return int(self._is_target().sum())

    def split(self, size: int) -> list["Batch"]:
        """Split into micro-batches of at most ``size`` sequences."""
        return [
            self._map(itemgetter(slice(first, first + size))) for first in range(0, len(self.tokens), size)
        ]

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on ``device``."""
        return self._map(lambda column: column.to(device))

    def _is_target(self) -> Tensor:
        found = target_mask(self.documents)
        return found if self.loss_mask is None else found & self.loss_mask[:, 1:]

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        mask = None if self.loss_mask is None else change(self.loss_mask)
        return Batch(change(self.tokens), change(self.documents), mask)


def target_mask(document_ids: Ids) -> Ids:
    """Return True for each token but the last of a row if the next one belongs to the same document.

    ``document_ids``: ``[B, T + 1]``, -1 for padding, which is no document. Returns bool ``[B, T]``.
    """
    following = document_ids[:, 1:]
    found: Ids = (following == document_ids[:, :-1]) & (following >= 0)
    return found


def document_ids_from_segments(segments: Segments, length: int) -> npt.NDArray[np.signedinteger]:
    """Return for each token of rows of ``length`` tokens the index of its segment in the row; -1 for padding.

    The segments of a row are in order and do not overlap. int16 if that is enough for ``length``, which is
    half to write and to copy to a device; else int32.
    """
    num_rows, number = len(segments.bounds) - 1, len(segments.start)
    rows = np.repeat(np.arange(num_rows), np.diff(segments.bounds))
    starts = rows * length + segments.start
    ends = starts + segments.length
    # Segments and the padding before each of them take turns; padding ends the rows.
    values = np.full(2 * number + 1, -1, np.int16 if length <= np.iinfo(np.int16).max else np.int32)
    values[1::2] = np.arange(number) - segments.bounds[rows]
    counts = np.empty(2 * number + 1, np.int64)
    counts[1::2] = segments.length
    counts[::2] = np.append(starts, num_rows * length) - np.append(0, ends)
    return np.repeat(values, counts).reshape(-1, length)


def batch_hash(tokens: npt.NDArray[np.unsignedinteger], positions: Int64Array) -> int:
    """Return a signed 64-bit hash of rows at stream positions.

    The hash of a batch is the sum modulo 2^64 of its parts' hashes, independent of how it is divided.
    """
    digests = [hashlib.blake2b(row.astype("<u4").tobytes(), digest_size=8).digest() for row in tokens]
    row_hashes = np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)
    hashes = mix(row_hashes ^ mix((positions.astype(np.uint64) + np.uint64(1)) * GOLDEN))
    return int(hashes.sum(dtype=np.uint64).astype(np.int64))


def hash_text(number: int) -> str:
    """Return a sum of :func:`batch_hash` as 16 hexadecimal digits."""
    return f"{number % (1 << 64):016x}"

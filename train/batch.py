"""Packed rows as tensors: tokens, the pieces they belong to, and a hash."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from core.hashing import GOLDEN, mix
from core.shards import Spans
from model.transformer import Transformer
from train.permutation import Integers

IGNORED = -100
"""The target that counts for nothing."""


@dataclass(frozen=True, slots=True)
class Batch:
    """n packed sequences of length t."""

    inputs: Tensor
    """int64 [n, t]."""
    targets: Tensor
    """int64 [n, t]: the next token; IGNORED where that is padding, another piece's or not to learn."""
    documents: Tensor
    """int64 [n, t]: number of the piece that each input belongs to, unique in its row; -1 for padding."""

    @property
    def count(self) -> int:
        """Targets that count."""
        return int((self.targets != IGNORED).sum())

    def split(self, size: int) -> list["Batch"]:
        """Pieces of at most ``size`` sequences."""
        columns = [
            column.tensor_split(tuple(range(size, len(column), size)))
            for column in (self.inputs, self.targets, self.documents)
        ]
        return [Batch(*piece) for piece in zip(*columns, strict=True)]

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        return Batch(self.inputs.to(device), self.targets.to(device), self.documents.to(device))


def make_batch(
    tokens: npt.NDArray[np.uint32], documents: Integers, learn: npt.NDArray[np.bool_] | None = None
) -> Batch:
    """A batch of rows of t+1 tokens, the numbers of their pieces, and which tokens to learn (None: all)."""
    counts = (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] >= 0)
    if learn is not None:
        counts &= learn[:, 1:]
    targets = np.where(counts, tokens[:, 1:].astype(np.int64), IGNORED)
    inputs = tokens[:, :-1].astype(np.int64)
    return Batch(
        torch.from_numpy(inputs),
        torch.from_numpy(targets),
        torch.from_numpy(np.ascontiguousarray(documents[:, :-1])),
    )


def piece_numbers(spans: Spans, length: int) -> Integers:
    """The number of the piece at each place of n rows of ``length`` tokens; -1 where there is none."""
    rows = np.repeat(np.arange(len(spans.bounds) - 1), np.diff(spans.bounds))
    lengths = spans.length.astype(np.int64)
    begins = rows * length + spans.start
    behind = np.cumsum(lengths) - lengths
    places = np.repeat(begins - behind, lengths) + np.arange(lengths.sum())
    numbers = np.full((len(spans.bounds) - 1) * length, -1, np.int64)
    numbers[places] = np.repeat(np.arange(len(lengths)), lengths)
    return numbers.reshape(-1, length)


def batch_hash(tokens: npt.NDArray[np.uint32], positions: Integers) -> int:
    """A signed 64-bit hash of rows at stream positions.

    The hashes of a batch's parts add up (modulo 2^64) to the whole batch's, however it is parted.
    """
    digests = [hashlib.blake2b(row.astype("<u4").tobytes(), digest_size=8).digest() for row in tokens]
    rows = np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)
    placed = mix(rows ^ mix((positions.astype(np.uint64) + np.uint64(1)) * GOLDEN))
    return int(placed.sum(dtype=np.uint64).astype(np.int64))


def target_losses(model: Transformer, batch: Batch) -> Tensor:
    """Cross-entropy of each target in nats, float32 [n, t]; 0 where it is ignored."""
    logits = model(batch.inputs, batch.documents)
    losses = F.cross_entropy(
        logits.float().flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.view_as(batch.targets)

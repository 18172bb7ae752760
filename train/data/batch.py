"""Batches of packed sequences as tensors, their hash, and their losses.

Shapes: B sequences of T tokens; packed rows have T + 1 tokens.
"""

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
from train.data.permutation import Int64Array

IGNORE_INDEX = -100
"""Target that does not contribute to the loss."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs and targets of B packed sequences."""

    inputs: Tensor
    """int64 ``[B, T]``."""
    targets: Tensor
    """int64 ``[B, T]``: the next token, or IGNORE_INDEX for padding, at document ends and where masked."""
    document_ids: Tensor
    """int64 ``[B, T]``: document of each input, unique within its row; -1 for padding."""

    @property
    def num_targets(self) -> int:
        """Number of targets that contribute to the loss."""
        return int((self.targets != IGNORE_INDEX).sum())

    def split(self, size: int) -> list["Batch"]:
        """Split into micro-batches of at most ``size`` sequences."""
        columns = [
            column.tensor_split(tuple(range(size, len(column), size)))
            for column in (self.inputs, self.targets, self.document_ids)
        ]
        return [Batch(*micro_batch) for micro_batch in zip(*columns, strict=True)]

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on ``device``."""
        return Batch(self.inputs.to(device), self.targets.to(device), self.document_ids.to(device))


def make_batch(
    tokens: npt.NDArray[np.unsignedinteger],
    document_ids: npt.NDArray[np.signedinteger],
    loss_mask: npt.NDArray[np.bool_] | None = None,
) -> Batch:
    """Create a batch from packed rows, ``[B, T + 1]`` each; ``loss_mask`` selects the tokens to learn."""
    is_target = (document_ids[:, 1:] == document_ids[:, :-1]) & (document_ids[:, 1:] >= 0)
    if loss_mask is not None:
        is_target &= loss_mask[:, 1:]
    targets = np.where(is_target, tokens[:, 1:].astype(np.int64), IGNORE_INDEX)
    inputs = tokens[:, :-1].astype(np.int64)
    return Batch(
        torch.from_numpy(inputs),
        torch.from_numpy(targets),
        torch.from_numpy(np.ascontiguousarray(document_ids[:, :-1], np.int64)),
    )


def document_ids_from_spans(spans: Spans, length: int) -> Int64Array:
    """Return for each token of rows of ``length`` tokens the index of its span; -1 for padding."""
    num_rows = len(spans.bounds) - 1
    rows = np.repeat(np.arange(num_rows), np.diff(spans.bounds))
    lengths = spans.length.astype(np.int64)
    starts = rows * length + spans.start
    preceding = np.cumsum(lengths) - lengths
    token_indices = np.repeat(starts - preceding, lengths) + np.arange(lengths.sum())
    document_ids = np.full(num_rows * length, -1, np.int64)
    document_ids[token_indices] = np.repeat(np.arange(len(lengths)), lengths)
    return document_ids.reshape(-1, length)


def batch_hash(tokens: npt.NDArray[np.unsignedinteger], positions: Int64Array) -> int:
    """Return a signed 64-bit hash of rows at stream positions.

    The hash of a batch is the sum modulo 2^64 of its parts' hashes, independent of how it is divided.
    """
    digests = [hashlib.blake2b(row.astype("<u4").tobytes(), digest_size=8).digest() for row in tokens]
    row_hashes = np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)
    hashes = mix(row_hashes ^ mix((positions.astype(np.uint64) + np.uint64(1)) * GOLDEN))
    return int(hashes.sum(dtype=np.uint64).astype(np.int64))


def token_losses(model: Transformer, batch: Batch) -> Tensor:
    """Return the cross-entropy of each target in nats, float32 ``[B, T]``; 0 for ignored ones."""
    logits = model(batch.inputs, batch.document_ids)
    losses = F.cross_entropy(
        logits.float().flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORE_INDEX, reduction="none"
    )
    return losses.view_as(batch.targets)

"""Losses of packed rows, and their sums: nats per token, perplexity and bits per byte, by source.

Shapes: B rows of T inputs, S sources.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.tokenizer import Tokenizer
from train.data.batch import IGNORE_INDEX

COLUMNS = 3
"""Numbers in :class:`LossSums`."""
MAX_EXPONENT = 700.0
"""Nats whose exponential is still a finite number."""


@dataclass(frozen=True, slots=True)
class LossSums:
    """Sums from which losses are computed; they can be added."""

    nats: float = 0.0
    targets: float = 0.0
    """Number of targets."""
    bytes: float = 0.0
    """UTF-8 bytes of the targets' text."""

    def __add__(self, other: "LossSums") -> "LossSums":
        return LossSums(self.nats + other.nats, self.targets + other.targets, self.bytes + other.bytes)

    @property
    def loss(self) -> float:
        """Nats per target."""
        return self.nats / self.targets if self.targets else math.nan

    @property
    def perplexity(self) -> float:
        """Exponential of the loss, which is cut at :data:`MAX_EXPONENT`."""
        return math.exp(min(self.loss, MAX_EXPONENT))

    @property
    def bits_per_byte(self) -> float:
        """Bits per byte of text, which is comparable between tokenizers."""
        return self.nats / math.log(2) / self.bytes if self.bytes else math.nan


def byte_lengths(tokenizer: Tokenizer, device: torch.device) -> Tensor:
    """Return the number of UTF-8 bytes of each token's text, int64 ``[vocabulary]``, on ``device``."""
    return torch.from_numpy(tokenizer.byte_lengths().astype(np.int64)).to(device)


def row_sums(losses: Tensor, targets: Tensor, byte_lengths: Tensor) -> Tensor:
    """Return nats, targets and bytes of each row, float64 ``[B, 3]``.

    ``losses``: nats of each target, float32 ``[B, T]``. ``byte_lengths``: int64 ``[vocabulary]``.
    """
    is_target = targets != IGNORE_INDEX
    text_bytes = torch.where(is_target, byte_lengths[targets.clamp(min=0)], 0)
    columns = (losses.detach().double(), is_target.double(), text_bytes.double())
    return torch.stack([column.sum(dim=1) for column in columns], dim=1)


def sum_by_source(rows: Tensor, sources: Tensor, num_sources: int) -> Tensor:
    """Return the sums of :func:`row_sums` by source, float64 ``[S, 3]``; ``sources``: int64 ``[B]``."""
    return F.one_hot(sources, num_sources).double().T @ rows


def from_table(sources: Sequence[str], values: Sequence[float]) -> dict[str, LossSums]:
    """Return the sums by source from the values of a table ``[S, 3]``, row by row."""
    lines = zip(*[iter(values)] * COLUMNS, strict=True)
    return {source: LossSums(*line) for source, line in zip(sources, lines, strict=True)}


def total(sums: Mapping[str, LossSums]) -> LossSums:
    """Return the sums over all sources."""
    return sum(sums.values(), LossSums())


def metrics(prefix: str, sums: Mapping[str, LossSums]) -> dict[str, float]:
    """Return loss, perplexity and bits per byte by name: in total, and of each source that has targets."""
    named = {"": total(sums)} | {f"/{source}": part for source, part in sums.items() if part.targets}
    values = {}
    for suffix, part in named.items():
        values[f"{prefix}/loss{suffix}"] = part.loss
        values[f"{prefix}/perplexity{suffix}"] = part.perplexity
        values[f"{prefix}/bpb{suffix}"] = part.bits_per_byte
    return values

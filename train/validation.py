"""Validation loss: nats per token and bits per byte, in total and by source."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from core.tokenizer import Tokenizer
from model.transformer import Transformer
from train.data.batch import IGNORE_INDEX, Batch, token_losses
from train.data.dataset import PackedDataset, read_rows
from train.data.permutation import Permutation
from train.data.stream import RowIndices
from train.parallel import World


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
    def bits_per_byte(self) -> float:
        """Bits per byte of text, which is comparable between tokenizers."""
        return self.nats / math.log(2) / self.bytes if self.bytes else math.nan


@dataclass(frozen=True, slots=True)
class ValidationSample:
    """Validation rows, the same for all validations of a run and any number of processes."""

    sources: tuple[str, ...]
    rows: RowIndices


def sample_rows(dataset: PackedDataset, sequences: int) -> ValidationSample:
    """Sample about ``sequences`` rows, in proportion from each source and at least one."""
    counts = {source: dataset.num_rows("validation", source) for source in dataset.sources}
    counts = {source: count for source, count in counts.items() if count}
    share = min(1.0, sequences / max(sum(counts.values()), 1))
    sources, indices = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for number, (source, count) in enumerate(counts.items()):
        sample_size = max(1, round(count * share))
        permutation = Permutation(count, f"{dataset.sha256}\0validation\0{source}".encode())
        positions = np.arange(sample_size, dtype=np.int64)
        indices.append(np.sort(permutation.forward(positions, np.zeros_like(positions))))
        sources.append(np.full(sample_size, number, np.int64))
    return ValidationSample(tuple(counts), RowIndices(np.concatenate(sources), np.concatenate(indices)))


@torch.no_grad()
def validate(
    model: Transformer,
    dataset: PackedDataset,
    tokenizer: Tokenizer,
    sample: ValidationSample,
    batch_size: int,
    world: World,
) -> dict[str, LossSums]:
    """Return the sums by source over ``sample``, computed by all processes, ``batch_size`` rows at a time."""
    byte_lengths = torch.from_numpy(tokenizer.byte_lengths().astype(np.int64)).to(world.device)
    table = np.zeros((len(sample.sources), 3))
    # Each forward pass gathers the sharded weights, so all processes must run the same number of them.
    for turn in range(-(-len(sample.rows) // (batch_size * world.size))):
        first = (turn * world.size + world.rank) * batch_size
        positions = np.arange(first, first + batch_size)
        is_real = positions < len(sample.rows)
        rows = sample.rows.take(np.where(is_real, positions, 0))
        batch = read_rows(dataset, "validation", sample.sources, rows).batch()
        sums = _row_sums(model, batch.to(world.device), byte_lengths)
        np.add.at(table, rows.sources[is_real], sums[is_real])
    totals = np.array(world.sum(table.ravel().tolist())).reshape(table.shape)
    return {source: LossSums(*line.tolist()) for source, line in zip(sample.sources, totals, strict=True)}


def total(sums: dict[str, LossSums]) -> LossSums:
    """Return the sums over all sources."""
    return sum(sums.values(), LossSums())


def metrics(sums: dict[str, LossSums]) -> dict[str, float]:
    """Return the metrics that training reports, by name."""
    overall = total(sums)
    values = {"val/loss": overall.loss, "val/bpb": overall.bits_per_byte}
    for source, part in sums.items():
        values |= {f"val/loss/{source}": part.loss, f"val/bpb/{source}": part.bits_per_byte}
    return values


def _row_sums(model: Transformer, batch: Batch, byte_lengths: torch.Tensor) -> npt.NDArray[np.float64]:
    """Return nats, targets and bytes of each row, float64 ``[B, 3]``."""
    targets = batch.targets
    is_target = targets != IGNORE_INDEX
    nats = token_losses(model, batch).double().sum(dim=1)
    text_bytes = torch.where(is_target, byte_lengths[targets.clamp(min=0)], 0).sum(dim=1)
    return torch.stack((nats, is_target.sum(dim=1), text_bytes), dim=1).cpu().numpy()

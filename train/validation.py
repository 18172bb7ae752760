"""Loss on text that was never trained on, in nats per token and bits per byte, in total and by source."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from core.tokenizer import Tokenizer
from model.transformer import Transformer
from train.batch import IGNORED, Batch, target_losses
from train.parallel import World
from train.permutation import Integers, Permutation
from train.rows import PackedRows, read_rows


@dataclass(frozen=True, slots=True)
class Sums:
    """What losses are made of."""

    nats: float = 0.0
    targets: float = 0.0
    bytes: float = 0.0
    """UTF-8 bytes of the text that the targets stand for."""

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.nats + other.nats, self.targets + other.targets, self.bytes + other.bytes)

    @property
    def loss(self) -> float:
        """Nats per target."""
        return self.nats / self.targets if self.targets else math.nan

    @property
    def bits_per_byte(self) -> float:
        """Comparable between tokenizers, as the loss is not."""
        return self.nats / math.log(2) / self.bytes if self.bytes else math.nan


@dataclass(frozen=True, slots=True)
class Sample:
    """Validation rows, the same at every validation of a run and for any number of processes."""

    sources: tuple[str, ...]
    source: Integers
    """Index into ``sources`` per row."""
    row: Integers


def sample(rows: PackedRows, sequences: int) -> Sample:
    """At most about ``sequences`` rows, from each source in proportion and at least one."""
    counts = {source: rows.rows("validation", source) for source in rows.sources}
    counts = {source: count for source, count in counts.items() if count}
    share = min(1.0, sequences / max(sum(counts.values()), 1))
    source, row = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for index, (name, count) in enumerate(counts.items()):
        taken = max(1, round(count * share))
        order = Permutation(count, f"{rows.sha256}\0validation\0{name}".encode())
        places = np.arange(taken, dtype=np.int64)
        row.append(np.sort(order.forward(places, np.zeros_like(places))))
        source.append(np.full(taken, index, np.int64))
    return Sample(tuple(counts), np.concatenate(source), np.concatenate(row))


@torch.no_grad()
def validate(
    model: Transformer, rows: PackedRows, tokenizer: Tokenizer, chosen: Sample, size: int, world: World
) -> dict[str, Sums]:
    """Sums by source over the rows of ``chosen``, shared among all processes, ``size`` rows at a time."""
    lengths = torch.from_numpy(tokenizer.byte_lengths().astype(np.int64)).to(world.device)
    table = np.zeros((len(chosen.sources), 3))
    # Sharded weights are gathered in every forward pass, so all processes must make the same number of them.
    for turn in range(-(-len(chosen.row) // (size * world.size))):
        first = (turn * world.size + world.rank) * size
        places = np.arange(first, first + size)
        real = places < len(chosen.row)
        places = np.where(real, places, 0)
        batch, _ = read_rows(rows, "validation", chosen.sources, chosen.source[places], chosen.row[places])
        sums = _row_sums(model, batch.to(world.device), lengths)
        np.add.at(table, chosen.source[places[real]], sums[real])
    totals = np.array(world.sum(table.ravel().tolist())).reshape(table.shape)
    return {source: Sums(*line.tolist()) for source, line in zip(chosen.sources, totals, strict=True)}


def total(sums: dict[str, Sums]) -> Sums:
    """All sources together."""
    return sum(sums.values(), Sums())


def metrics(sums: dict[str, Sums]) -> dict[str, float]:
    """The names and values that training reports."""
    whole = total(sums)
    values = {"val/loss": whole.loss, "val/bpb": whole.bits_per_byte}
    for source, part in sums.items():
        values |= {f"val/loss/{source}": part.loss, f"val/bpb/{source}": part.bits_per_byte}
    return values


def _row_sums(model: Transformer, batch: Batch, lengths: torch.Tensor) -> npt.NDArray[np.float64]:
    """Nats, targets and bytes of each row, float64 [n, 3]."""
    counted = batch.targets != IGNORED
    nats = target_losses(model, batch).double().sum(dim=1)
    text = torch.where(counted, lengths[batch.targets.clamp(min=0)], 0).sum(dim=1)
    return torch.stack((nats, counted.sum(dim=1), text), dim=1).cpu().numpy()

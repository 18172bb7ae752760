"""Validation: the losses of a fixed sample of rows."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.transformer import Transformer
from train.data.dataset import PackedDataset, read_rows
from train.data.permutation import Permutation
from train.data.stream import RowIndices
from train.losses import COLUMNS, LossSums, from_table, row_sums
from train.parallel import World


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
    byte_lengths: Tensor,
    sample: ValidationSample,
    batch_size: int,
    world: World,
) -> dict[str, LossSums]:
    """Return the sums by source over ``sample``, computed by all processes, ``batch_size`` rows at a time.

    ``byte_lengths``: from :func:`train.losses.byte_lengths`.
    """
    table = np.zeros((len(sample.sources), COLUMNS))
    # Each forward pass gathers the sharded weights, so all processes must run the same number of them.
    for turn in range(-(-len(sample.rows) // (batch_size * world.size))):
        first = (turn * world.size + world.rank) * batch_size
        positions = np.arange(first, first + batch_size)
        is_real = positions < len(sample.rows)
        rows = sample.rows.take(np.where(is_real, positions, 0))
        batch = read_rows(dataset, "validation", sample.sources, rows).batch().to(world.device)
        targets = batch.targets
        nats = model.losses(batch.inputs, targets, batch.document_ids).nats
        sums = row_sums(nats, targets, byte_lengths).cpu().numpy()
        np.add.at(table, rows.sources[is_real], sums[is_real])
    return from_table(sample.sources, world.sum(table.ravel().tolist()))

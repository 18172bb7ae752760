"""Token shards for other trainers, as a stateful ``torch.utils.data.IterableDataset``."""

import sys
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from core.errors import ConfigError, MismatchError
from core.shards import CACHE_BYTES, Shards
from train.data.batch import IGNORE_INDEX, target_mask
from train.data.batch_sizes import BatchSizes
from train.data.dataset import PackedRows, ShardDataset, read_stream
from train.data.read_ahead import ReadAhead
from train.data.stream import Stream

READ_AHEAD = 4
"""Batches that are read before they are needed, as ``train.read_ahead``."""


class ShardBatches(IterableDataset[dict[str, Tensor]]):
    """The batches of one process, without end, in the trainer's order for these shards, seed and mixture.

    Batch size and mixture are the same in all steps.

    An item is the batch of a step: ``input_ids`` and ``targets``, int64 ``[batch_size / world_size, T]``, and
    ``document_ids``, int32 of the same shape. Targets are the next tokens, and -100 for padding and at the
    ends of documents. Document ids number the documents of a row, -1 is padding.

    ``DataLoader(batches, batch_size=None)`` loads them, with any number of workers in the same order.
    ``torchdata.stateful_dataloader.StatefulDataLoader`` saves and restores the state, which may be loaded
    with another world size, but with workers only with as many. A plain loader with workers does not save
    their progress: count the steps and call :meth:`start_after`. Local files are not verified;
    ``python -m core.shards verify`` does it.
    """

    def __init__(
        self,
        folder: str,
        batch_size: int,
        *,
        seed: int = 1,
        mixture: Mapping[str, float] | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        shuffle_block: int = 0,
        shuffle_window: int = 64,
        cache: str | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """Open a run's ``shards`` folder, local or remote.

        ``batch_size`` counts the rows of a step over all processes. ``rank`` and ``world_size`` are by
        default those of ``torch.distributed``. The other parameters are as in ``[train]``. Raises
        :class:`ConfigError` for a batch size that is not a multiple of the number of processes, and the
        errors of :meth:`Shards.open`.
        """
        initialized = dist.is_available() and dist.is_initialized()
        self._rank = (dist.get_rank() if initialized else 0) if rank is None else rank
        self._world_size = (dist.get_world_size() if initialized else 1) if world_size is None else world_size
        if batch_size < 1 or batch_size % self._world_size:
            raise ConfigError(
                f"batch_size = {batch_size}: must be a positive multiple of the {self._world_size} processes"
            )
        self._folder, self._batch_sizes = folder, BatchSizes(batch_size)
        self._rows = batch_size // self._world_size
        # Every process opens the shards itself: neither threads nor connections can be handed on to workers.
        self._open = partial(Shards.open, folder, verify=False, cache=cache, cache_bytes=cache_bytes)
        shards = self._open()
        self.sequence_length = shards.facts.sequence_length
        self.vocabulary_size = shards.facts.vocabulary_size
        num_rows = {source: shards.rows("train", source) for source in shards.sources}
        self._stream = Stream(
            shards.manifest.sha256(),
            seed,
            num_rows,
            mixture or {},
            block=shuffle_block,
            window=shuffle_window,
        )
        self._steps = 0
        """The next batch is that of the step after this one."""
        self._worker: tuple[int, int] | None = None
        """Index of the loader's worker to which ``_steps`` belongs, and number of workers; None without."""

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Yield the batches after the steps so far; with workers, every n-th of them."""
        info = get_worker_info()
        worker = (info.id, info.num_workers) if info else (0, 1)
        if self._worker and self._worker != worker:
            raise ConfigError(
                f"num_workers = {worker[1]}: the state is of {self._worker[1]} workers; use as many, or "
                "start_after(step)"
            )
        if info and self._worker is None:
            self._steps += worker[0]
        self._worker = worker if info else None
        steps = range(self._steps + 1, sys.maxsize, worker[1])
        window_steps = self._stream.window_rows / (self._rows * self._world_size * worker[1])
        read = partial(self._read, ShardDataset(self._open()))
        read_ahead = ReadAhead.of(self._rows, self.sequence_length, READ_AHEAD, window_steps)
        for packed in read_ahead.read(read, steps):
            self._steps += worker[1]
            # Not before: int64 tensors take up to five times the memory of the rows that are read ahead.
            yield _tensors(packed)

    def _read(self, dataset: ShardDataset, steps: range) -> list[PackedRows]:
        positions = [self._batch_sizes.positions(step, self._rank, self._world_size) for step in steps]
        return [packed for packed, _ in read_stream(dataset, self._stream, positions)]

    def start_after(self, step: int) -> None:
        """Resume after ``step`` completed steps, with any number of workers and processes."""
        self._steps, self._worker = step, None

    def state_dict(self) -> dict[str, Any]:
        """Return the last step, the worker that it belongs to, if any, and the hash of the order."""
        return {"step": self._steps, "worker": self._worker, "order": self._stream.sha256}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from :meth:`state_dict`. Raises :class:`MismatchError` for a state of another order."""
        if state["order"] != self._stream.sha256:
            raise MismatchError(
                f"{self._folder}: the state is of other shards, another seed or mixture; use those it "
                "was saved with"
            )
        self._steps = state["step"]
        self._worker = tuple(state["worker"]) if state["worker"] else None


def _tensors(packed: PackedRows) -> dict[str, Tensor]:
    """Return the item of a batch, as :class:`Batch` does it; in one thread NumPy is faster than PyTorch."""
    tokens, document_ids = packed.tokens, packed.document_ids
    targets = tokens[:, 1:].astype(np.int64)
    np.copyto(targets, IGNORE_INDEX, where=~target_mask(document_ids))
    return {
        "input_ids": torch.from_numpy(tokens[:, :-1].astype(np.int64)),
        "targets": torch.from_numpy(targets),
        "document_ids": torch.from_numpy(document_ids[:, :-1].astype(np.int32)),
    }

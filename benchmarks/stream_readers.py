"""Readers of token shards and of the formats of peers, for ``stream.py``."""

import importlib.util
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core import storage
from core.shards import Shards
from train.data.batch import Batch
from train.data.batch_sizes import BatchSizes
from train.data.dataset import ShardDataset, read_stream
from train.data.read_ahead import ReadAhead
from train.data.shard_batches import READ_AHEAD, ShardBatches
from train.data.stream import Stream

BATCH = 64
BLOCK_BYTES, WINDOW = 1 << 22, 16
"""Size of shuffled blocks of remote shards, and their number in a window."""


class Reader(ABC):
    """A data set that is read in shuffled batches."""

    @abstractmethod
    def __init__(self, folder: str, cache: str, state: Any) -> None:
        """Open the data set; ``state``: from :meth:`state`, or None for the beginning."""

    @abstractmethod
    def batches(self) -> Iterator[int]:
        """Yield the number of tokens in each batch, once its tensors exist."""

    @abstractmethod
    def state(self) -> Any:
        """Return the state after the batches so far."""


class TrainerReader(Reader):
    """Shards as the trainer passes them to the device, which derives targets from tokens and document ids."""

    def __init__(self, folder: str, cache: str, state: Any) -> None:
        """Open the shards; the state is the number of steps."""
        self._shards = Shards.open(folder, verify=False, cache=cache)
        self._dataset = ShardDataset(self._shards)
        rows = {source: self._shards.rows("train", source) for source in self._shards.sources}
        block = shuffle_block(folder, self._shards)
        self._stream = Stream(self._dataset.sha256, 1, rows, {}, block=block, window=WINDOW)
        self._batch_sizes, self._step = BatchSizes(BATCH), state or 0

    def batches(self) -> Iterator[int]:
        """Read on without end."""
        length, window_steps = self._shards.facts.sequence_length, self._stream.window_rows / BATCH
        read_ahead = ReadAhead.of(BATCH, length, READ_AHEAD, window_steps)
        for batch in read_ahead.read(self._read, range(self._step + 1, sys.maxsize)):
            self._step += 1
            yield batch.tokens.numel() - len(batch.tokens)

    def _read(self, steps: range) -> list[Batch]:
        positions = [self._batch_sizes.positions(step) for step in steps]
        found = read_stream(self._dataset, self._stream, positions)
        return [rows.batch() for rows, _ in found]

    def state(self) -> int:
        """Return the number of steps."""
        return int(self._step)


class ShardBatchesReader(Reader):
    """Shards as other trainers take them: inputs and targets as int64, and document ids."""

    def __init__(self, folder: str, cache: str, state: Any) -> None:
        """Open the shards; the state is that of the data set."""
        block = shuffle_block(folder, Shards.open(folder, verify=False, cache=cache))
        self._batches = ShardBatches(folder, BATCH, cache=cache, shuffle_block=block, shuffle_window=WINDOW)
        if state:
            self._batches.load_state_dict(state)

    def batches(self) -> Iterator[int]:
        """Read on without end."""
        for batch in self._batches:
            inputs, targets, documents = batch["input_ids"], batch["targets"], batch["document_ids"]
            assert inputs.shape == targets.shape == documents.shape
            yield inputs.numel()

    def state(self) -> Any:
        """Return the state of the data set."""
        return self._batches.state_dict()


def shuffle_block(folder: str, shards: Shards) -> int:
    """Return the rows of shuffled blocks of remote shards; local ones are shuffled row by row."""
    row_bytes = (shards.facts.sequence_length + 1) * shards.facts.dtype.itemsize
    return 0 if storage.is_local(folder) else max(1, BLOCK_BYTES // row_bytes)


class FlatReader(Reader):
    """A memory map of rows."""

    def __init__(self, folder: str, _cache: str, state: Any) -> None:
        """Map the file; the state is the number of steps."""
        length = json.loads(Path(folder, "length.json").read_text())
        self._rows = np.memmap(Path(folder, "tokens.bin"), np.uint16, "r").reshape(-1, length)
        self._order = np.random.default_rng(1).permutation(len(self._rows))
        self._batch_sizes, self._step = BatchSizes(BATCH), state or 0

    def batches(self) -> Iterator[int]:
        """Read an epoch."""
        while self._step < len(self._order) // BATCH:
            chosen = self._order[self._step * BATCH : (self._step + 1) * BATCH]
            self._step += 1
            yield torch.from_numpy(self._rows[chosen]).numel()

    def state(self) -> int:
        """Return the number of steps."""
        return int(self._step)


class LitdataReader(Reader):
    """litdata's chunks of tokens."""

    def __init__(self, folder: str, cache: str, state: Any) -> None:
        """Open the chunks; the state is that of the loader."""
        import litdata

        length = json.loads(storage.read_bytes(storage.join(folder, "length.json")))
        remote = {} if storage.is_local(folder) else {"cache_dir": cache}
        dataset = litdata.StreamingDataset(
            folder,
            item_loader=litdata.TokensLoader(block_size=length),
            shuffle=True,
            drop_last=True,
            **remote,
        )
        self._loader = litdata.StreamingDataLoader(dataset, batch_size=BATCH, num_workers=0)
        if state:
            self._loader.load_state_dict(state)

    def batches(self) -> Iterator[int]:
        """Read an epoch."""
        for batch in self._loader:
            yield batch.numel()

    def state(self) -> Any:
        """Return the state of the loader."""
        return self._loader.state_dict()


class StreamingReader(Reader):
    """mosaicml-streaming's MDS."""

    def __init__(self, folder: str, cache: str, state: Any) -> None:
        """Open the shards; the state is that of the loader."""
        from streaming import StreamingDataLoader, StreamingDataset

        where = {"local": folder} if storage.is_local(folder) else {"remote": folder, "local": cache}
        dataset = StreamingDataset(**where, shuffle=True, batch_size=BATCH)
        self._loader = StreamingDataLoader(dataset, batch_size=BATCH, num_workers=0)
        if state:
            self._loader.load_state_dict(state)

    def batches(self) -> Iterator[int]:
        """Read an epoch."""
        for batch in self._loader:
            yield batch["tokens"].numel()

    def state(self) -> Any:
        """Return the state of the loader."""
        return self._loader.state_dict()


READERS: Mapping[str, tuple[type[Reader], str, str]] = {
    "Gristmill, tokens and document ids (trainer)": (TrainerReader, "shards", ""),
    "Gristmill, inputs, targets and document ids (`ShardBatches`)": (ShardBatchesReader, "shards", ""),
    "litdata": (LitdataReader, "litdata", "litdata"),
    "mosaicml-streaming": (StreamingReader, "streaming", "mosaicml-streaming"),
    "bare memory map": (FlatReader, "flat", ""),
}
"""Reader, folder and package by name."""


def installed(package: str) -> bool:
    if not package:
        return True
    return importlib.util.find_spec({"mosaicml-streaming": "streaming"}.get(package, package)) is not None

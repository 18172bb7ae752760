"""Reading of token shards for training, compared with litdata, mosaicml-streaming and a bare memory map.

``python benchmarks/stream.py RUN [--tokens 200e6] [--s3 s3://BUCKET/PREFIX] [--rounds 3]`` draws rows at random
from the shards of a run until it has the wanted number of tokens, and writes them in the format of each: our
shards, litdata's chunks of tokens, mosaicml-streaming's MDS, and a flat file. Each reads shuffled batches of
64 rows in a process of its own, all in turn in each round; medians are reported:

- tokens per second into torch tensors: ours with document ids and targets, the others without;
- seconds from opening to the first batch, and to the first batch after resuming at 90 % of an epoch;
- peak resident memory of the process above that after its imports.

The bare map gathers the same rows from the flat file with NumPy. Peers that are not installed are left out.
``--s3`` reads from a server instead, with an empty cache; ``AWS_*`` variables name it. Then the bytes that ours
reads are reported too.
Writes ``benchmarks/results/stream.md``, or ``stream_s3.md`` (``--output``).
"""

import argparse
import importlib.metadata
import importlib.util
import json
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core import storage
from core.errors import InputError, run
from core.manifest import Stage
from core.shards import STAGE, Header, Rows, Shards, publish, write_file

BATCH = 64
ROWS_PER_FILE = 1 << 14
CHUNK_BYTES = 1 << 26
MEASURED_SECONDS = 5.0
RESULTS = Path(__file__).parent / "results"
PACKAGES = {"litdata": "litdata", "mosaicml-streaming": "streaming"}
Batches = Iterator[torch.Tensor]
Open = Callable[[str, str, int], Batches]
"""Open a data set: folder, folder of the cache, first batch."""


def open_ours(folder: str, cache: str, first: int) -> Batches:
    """Read our shards; yields the inputs."""
    from train.data.dataset import ShardDataset, read_rows
    from train.data.stream import Stream, batch_positions

    shards = Shards.open(folder, verify=False, cache=cache)
    dataset = ShardDataset(shards)
    rows = {source: shards.rows("train", source) for source in shards.sources}
    stream = Stream(dataset.sha256, 1, rows, {}, block=block_of(shards), window=64)
    step = first
    while True:
        step += 1
        located = stream.locate(batch_positions(step, BATCH))
        batch = read_rows(dataset, "train", stream.sources, located).batch()
        assert len(batch.targets) == len(batch.document_ids)
        yield batch.inputs


def block_of(shards: Shards) -> int:
    """Rows per shuffled block: all rows on local disk, those of 4 MB elsewhere."""
    row_bytes = (shards.facts.sequence_length + 1) * shards.facts.dtype.itemsize
    return 0 if storage.is_local(shards.folder) else max(1, (1 << 22) // row_bytes)


def open_flat(folder: str, _cache: str, first: int) -> Batches:
    """Gather random rows from a flat file, as uint16."""
    length = json.loads(Path(folder, "length.json").read_text())
    rows = np.memmap(Path(folder, "tokens.bin"), np.uint16, "r").reshape(-1, length)
    order = np.random.default_rng(1).permutation(len(rows))
    while True:
        yield torch.from_numpy(rows[order[first * BATCH : (first + 1) * BATCH]])
        first = (first + 1) % (len(rows) // BATCH)


def open_litdata(folder: str, cache: str, first: int) -> Batches:
    """Read litdata's chunks with its loader in this process."""
    import litdata

    length = json.loads(read_text(folder, "length.json"))
    data = litdata.StreamingDataset(
        folder,
        item_loader=litdata.TokensLoader(block_size=length),
        shuffle=True,
        drop_last=True,
        **({} if storage.is_local(folder) else {"cache_dir": cache}),
    )
    loader = litdata.StreamingDataLoader(data, batch_size=BATCH, num_workers=0)
    if first:
        state = {
            "num_samples_yielded": first * BATCH,
            "num_workers": 0,
            "batch_size": BATCH,
            "current_epoch": 1,
        }
        data.load_state_dict(
            {"dataset": data.state_dict(num_samples_yielded=first * BATCH, num_workers=0, batch_size=BATCH)}[
                "dataset"
            ]
            | state
        )
    while True:
        yield from loader


def open_streaming(folder: str, cache: str, first: int) -> Batches:
    """Read mosaicml-streaming's MDS with a torch loader in this process."""
    from streaming import StreamingDataset, StreamingDataLoader

    local = {"local": folder} if storage.is_local(folder) else {"remote": folder, "local": cache}
    data = StreamingDataset(**local, shuffle=True, batch_size=BATCH)
    loader = StreamingDataLoader(data, batch_size=BATCH, num_workers=0)
    if first:
        state = data.state_dict(0, True) or {}
        data.load_state_dict(state | {"epoch": 0, "sample_in_epoch": first * BATCH})
    while True:
        yield from (batch["tokens"] for batch in loader)


def read_text(folder: str, name: str) -> str:
    """Return the text of a small file."""
    return storage.read_bytes(storage.join(folder, name)).decode()

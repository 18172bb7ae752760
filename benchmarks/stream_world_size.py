"""Resuming on another number of processes, beside litdata and mosaicml-streaming.

``python benchmarks/stream_world_size.py`` writes 10,000 rows, all tokens of which are the number of the row,
as shards, and in chunks of 64 KiB of litdata and mosaicml-streaming. Each is read in global batches of
64 shuffled rows by one process, which saves its state after 50 batches. Two processes, started by
``torchrun``, resume from it and read the rest of the epoch. The page says how many of their global batches
hold the same rows as those of one process that was not interrupted, and how many rows of the epoch were read
twice or never; a last batch that is not full is left out. Writes ``benchmarks/results/stream_world_size.md``.
"""

import argparse
import importlib.metadata
import itertools
import json
import os
import pickle
import platform
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch.distributed as dist

from benchmarks.stream import LitdataWriter, StreamingWriter
from benchmarks.stream_readers import BATCH, installed
from core.errors import InputError, run
from core.shards import STAGE, Header, Rows, Spans, publish, write_file
from core.stage import Stage
from train.data.shard_batches import ShardBatches

ROWS, LENGTH, SAVED_AFTER = 10_000, 65, 50
CHUNK_BYTES = 1 << 16
RESULTS = Path(__file__).parent / "results" / "stream_world_size.md"


class Loader(NamedTuple):
    """A reader of this process's part of the batches."""

    batches: Iterator[Sequence[int]]
    """Numbers of the rows of each batch."""
    state: Callable[[], Any]
    """Returns the state after the batches so far."""


def main(arguments: Sequence[str]) -> None:
    """Read with each library, and write the results; in a worker, read and write the numbers of rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--worker", choices=LOADERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--stop", type=int, default=ROWS // BATCH, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        _work(options.worker, options.folder, options.stop)
        return
    names = [name for name in LOADERS if name == "Gristmill" or installed(name)]
    with tempfile.TemporaryDirectory() as temporary:
        _write_rows(Path(temporary), names)
        lines = [_compare(name, Path(temporary)) for name in names]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in names if name != "Gristmill"]
    text = "\n".join(
        [
            "# Resuming on another number of processes",
            "",
            f"`python benchmarks/stream_world_size.py`, {date.today()}, Python {platform.python_version()}, "
            f"{', '.join(versions) or 'no peers'}. {ROWS:,} rows in global batches of {BATCH}; one process "
            f"reads {SAVED_AFTER} of them, two processes the rest of the epoch.",
            "",
            "| | global batches as without the interruption | rows read twice | rows never read |",
            "|---|--:|--:|--:|",
            *lines,
        ]
    )
    print(text)
    RESULTS.write_text(text + "\n")


def _write_rows(folder: Path, names: Sequence[str]) -> None:
    tokens = np.repeat(np.arange(ROWS, dtype=np.uint16)[:, None], LENGTH, axis=1)
    header = Header(
        sequence_length=LENGTH - 1, vocabulary_size=ROWS, bos=1, eos=2, pad=3, tokenizer_sha256="0" * 64,
        packing="none", corpus="0" * 32,
    )  # fmt: skip
    ones, zeros = np.ones(ROWS, np.int32), np.zeros(ROWS, np.int32)
    ids = np.zeros((ROWS, 16), np.uint8)
    rows = Rows(tokens, Spans(np.arange(ROWS + 1), zeros, LENGTH * ones, ids, zeros))
    files = [write_file(str(folder / "Gristmill"), "train", "web", "00000", rows, header, ones)]
    publish(Stage(STAGE, str(folder / "Gristmill")), files, header)
    writers: list[Any] = []
    if "litdata" in names:
        writers.append(LitdataWriter(folder / "litdata", CHUNK_BYTES))
    if "mosaicml-streaming" in names:
        writers.append(StreamingWriter(folder / "mosaicml-streaming", LENGTH, CHUNK_BYTES))
    for writer in writers:
        writer.write(tokens)
        writer.close()


def _compare(name: str, folder: Path) -> str:
    """Return a row of the table."""
    try:
        expected = _read(name, folder, processes=1)
        begun = _read(name, folder, processes=1, stop=SAVED_AFTER)
        rest = _read(name, folder, processes=2)
    except InputError as error:
        return f"| {name} | {error} | | |"
    finally:
        (folder / "state").unlink(missing_ok=True)
    same = sum(first == second for first, second in zip(expected[SAVED_AFTER:], rest, strict=False))
    times = Counter(row for batch in begun + rest for row in batch)
    twice = sum(number > 1 for number in times.values())
    never = len({row for batch in expected for row in batch} - times.keys())
    return f"| {name} | {same} of {len(expected) - SAVED_AFTER} | {twice:,} | {never:,} |"


def _read(name: str, folder: Path, processes: int, stop: int = ROWS // BATCH) -> list[list[int]]:
    """Return the sorted rows of each global batch, from the saved state on if there is one."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command += [__file__, "--worker", name, "--folder", str(folder), "--stop", str(stop)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = re.findall(r"\w+Error: .+", done.stderr)
        raise InputError(errors[0] if errors else done.stderr[-300:])
    parts = [json.loads((folder / f"rows-{rank}").read_text()) for rank in range(processes)]
    return [sorted(itertools.chain(*batches)) for batches in zip(*parts, strict=False)]


def _work(name: str, folder: Path, stop: int) -> None:
    """Read batches up to number ``stop`` of an epoch; save the state if it stops within it."""
    dist.init_process_group("gloo")
    state_file = folder / "state"
    state = pickle.loads(state_file.read_bytes()) if state_file.exists() else None
    batch_size = BATCH // dist.get_world_size()
    loader = LOADERS[name](folder / name, batch_size, state)
    found: list[list[int]] = []
    for _, batch in zip(range(stop - (SAVED_AFTER if state else 0)), loader.batches, strict=False):
        if len(batch) == batch_size:
            found.append(list(batch))
    if stop == SAVED_AFTER:
        state_file.write_bytes(pickle.dumps(loader.state()))
    (folder / f"rows-{dist.get_rank()}").write_text(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)  # some libraries have threads that do not end


def _shard_batches(folder: Path, batch_size: int, state: Any) -> Loader:
    batches = ShardBatches(str(folder), batch_size * dist.get_world_size())
    if state:
        batches.load_state_dict(state)
    return Loader((batch["input_ids"][:, 0].tolist() for batch in batches), batches.state_dict)


def _litdata(folder: Path, batch_size: int, state: Any) -> Loader:
    import litdata

    dataset = litdata.StreamingDataset(
        str(folder), item_loader=litdata.TokensLoader(block_size=LENGTH), shuffle=True, drop_last=True
    )
    loader = litdata.StreamingDataLoader(dataset, batch_size=batch_size, num_workers=0)
    if state:
        loader.load_state_dict(state)
    return Loader((batch[:, 0].tolist() for batch in loader), loader.state_dict)


def _streaming(folder: Path, batch_size: int, state: Any) -> Loader:
    from streaming import StreamingDataLoader, StreamingDataset

    dataset = StreamingDataset(local=str(folder), shuffle=True, batch_size=batch_size)
    loader = StreamingDataLoader(dataset, batch_size=batch_size, num_workers=0)
    if state:
        loader.load_state_dict(state)
    return Loader((batch["tokens"][:, 0].tolist() for batch in loader), loader.state_dict)


LOADERS: Mapping[str, Callable[[Path, int, Any], Loader]] = {
    "Gristmill": _shard_batches,
    "litdata": _litdata,
    "mosaicml-streaming": _streaming,
}

if __name__ == "__main__":
    run(main)

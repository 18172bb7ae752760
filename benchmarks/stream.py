"""Reading of token shards for training, beside litdata, mosaicml-streaming and a bare memory map.

``python benchmarks/stream.py RUN [--tokens N] [--remote s3://BUCKET/PREFIX] [--without-peers]`` draws rows at
random from the shards of a run until they have the wanted number of tokens, and writes them in the format of
each: shards, litdata's chunks of tokens, mosaicml-streaming's MDS, and a flat file. Each reads nine tenths of
a shuffled epoch in batches of 64 rows, in a process of its own with one PyTorch thread, saves its state, and
resumes from it in another process. All take turns in every round; medians are reported:

- seconds from opening to the first batch, and to the first batch after resuming, imports apart;
- tokens per second into torch tensors: shards with document ids, and once with targets, the others the tokens
  alone; shards are read by threads, as the trainer does it;
- resident memory at the end above that after the imports, and the anonymous part of it, without mapped files.

The bare map gathers the rows of a permutation from the flat file with NumPy. Peers that are not installed are
left out. With ``--remote``, an S3 server that the ``AWS_*`` variables name, all but the bare map read from
there, with an empty cache each time; shards are shuffled in windows of 16 blocks of 4 MiB, litdata within its
chunks of 64 MiB. Then the tokens per second from opening to the end, the bytes that arrive over the network
until the first batch and until the end, and the size of the cache at the end are reported as well.
Writes ``benchmarks/results/stream.md``, or ``stream_remote.md`` (``--output``).
"""

import argparse
import importlib.metadata
import importlib.util
import json
import pickle
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.stream_readers import BATCH, READERS, FlatReader, installed
from core import storage
from core.errors import InputError, run
from core.shards import STAGE, Header, Rows, Shards, WrittenFile, publish, write_file
from core.stage import Stage
from train.data.stream import Stream

ROWS_PER_FILE = 1 << 14
CHUNK_BYTES = 1 << 26
SHARE = 0.9
"""Share of an epoch that is read before the state is saved."""
RESULTS = Path(__file__).parent / "results"
MIB = 1 << 20


def main(arguments: Sequence[str]) -> None:
    """Write the data sets, measure all readers in turn, and write the results."""
    options = _parse(arguments)
    if options.reader:
        print(json.dumps(measure(options.reader, options.run, options.cache, options.state, options.batches)))
        return
    names = [
        name
        for name, (_, _, package) in READERS.items()
        if installed(package) and not (package and options.without_peers)
    ]
    with tempfile.TemporaryDirectory() as temporary:
        number, about = write_all(options.run, Path(temporary), options.tokens, names)
        roots = dict.fromkeys(names, temporary)
        if options.remote:
            roots = {name: options.remote for name in names if READERS[name][0] is not FlatReader}
            _upload(Path(temporary), options.remote)
        found: dict[str, list[dict[str, float]]] = defaultdict(list)
        for number_of_round in range(options.rounds):
            for name, root in roots.items():
                print(f"round {number_of_round + 1}: {name}", file=sys.stderr, flush=True)
                found[name].append(
                    _measure_in_turn(name, root, Path(temporary), int(SHARE * number) // BATCH)
                )
    text = _page(found, about, options)
    print(text)
    options.output.write_text(text)


def write_all(run_folder: str, folder: Path, tokens: int, names: Sequence[str]) -> tuple[int, str]:
    """Write random rows in the formats of the readers; return the number of rows, and a description."""
    shards = Shards.open(storage.join(run_folder, "shards"), verify=False)
    header = Header.model_validate(shards.facts.model_dump(include=set(Header.model_fields)))
    if header.dtype != np.uint16:
        raise InputError(f"{run_folder}: tokens of {header.dtype}; use shards of a vocabulary up to 65,536")
    source = max(shards.sources, key=lambda each: shards.rows("train", each))
    count, length = -(-tokens // header.sequence_length), header.sequence_length + 1
    random = np.random.default_rng(0)
    writers: list[Any] = []
    if "litdata" in names:
        writers.append(LitdataWriter(folder / "litdata"))
    if "mosaicml-streaming" in names:
        writers.append(StreamingWriter(folder / "streaming", length))
    (folder / "flat").mkdir()
    files: list[WrittenFile] = []
    with (folder / "flat/tokens.bin").open("wb") as flat:
        for number, first in enumerate(range(0, count, ROWS_PER_FILE)):
            drawn = random.integers(0, shards.rows("train", source), min(ROWS_PER_FILE, count - first))
            rows = Rows(*shards.read("train", source, drawn))
            lengths = np.ones(header.vocabulary_size, np.int32)
            files.append(
                write_file(str(folder / "shards"), "train", "web", f"{number:05d}", rows, header, lengths)
            )
            flat.write(rows.tokens.tobytes())
            for writer in writers:
                writer.write(rows.tokens)
    for writer in writers:
        writer.close()
    publish(Stage(STAGE, str(folder / "shards")), files, header)
    for name in ("flat", "litdata"):
        if (folder / name).exists():
            (folder / name / "length.json").write_text(str(length))
    return count, f"{count:,} rows of {length:,} tokens in {len(files)} files"


class LitdataWriter:
    """Writes rows in litdata's format of tokens."""

    def __init__(self, folder: Path, chunk_bytes: int = CHUNK_BYTES) -> None:
        import litdata
        from litdata.streaming import Cache

        folder.mkdir()
        self._cache = Cache(str(folder), chunk_bytes=chunk_bytes, item_loader=litdata.TokensLoader())
        self._written = 0

    def write(self, rows: Any) -> None:
        """Write rows, one item each."""
        for row in torch.from_numpy(rows):
            self._cache[self._written] = row
            self._written += 1

    def close(self) -> None:
        """Write the index."""
        self._cache.done()
        self._cache.merge()


class StreamingWriter:
    """Writes rows as MDS shards of mosaicml-streaming."""

    def __init__(self, folder: Path, length: int, chunk_bytes: int = CHUNK_BYTES) -> None:
        from streaming import MDSWriter

        columns = {"tokens": f"ndarray:uint16:{length}"}
        self._writer = MDSWriter(out=str(folder), columns=columns, size_limit=chunk_bytes)

    def write(self, rows: Any) -> None:
        """Write rows, one sample each."""
        for row in rows:
            self._writer.write({"tokens": row})

    def close(self) -> None:
        """Write the index."""
        self._writer.finish()


def _upload(folder: Path, remote: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and "flat" not in path.parts:
            storage.upload(str(path), storage.join(remote, str(path.relative_to(folder))))


def measure(name: str, folder: str, cache: str, state_file: Path, batches: int) -> dict[str, float]:
    """Read ``batches`` batches and save the state; without them, resume from it and read one.

    Returns seconds to the first batch, tokens per second after it, and MiB: resident, received
    until the first batch and until the end, and in the cache.
    """
    reader_type = READERS[name][0]
    torch.set_num_threads(1)
    peer = READERS[name][2]
    modules = [{"mosaicml-streaming": "streaming"}.get(peer, peer)] if peer else []
    for module in modules + ([] if storage.is_local(folder) else ["s3fs", "boto3"]):
        importlib.import_module(module)
    before, anonymous_before, received_before = memory("VmRSS"), memory("RssAnon"), received()
    begun = time.perf_counter()
    reader = reader_type(folder, cache, None if batches else pickle.loads(state_file.read_bytes()))
    iterator = reader.batches()
    next(iterator)
    first = time.perf_counter() - begun
    found = {"first": first, "received_first": (received() - received_before) / MIB}
    if batches:
        begun, tokens = time.perf_counter(), 0
        for _ in range(batches - 1):
            tokens += next(iterator)
        seconds = time.perf_counter() - begun
        found["rate"], found["whole_rate"] = tokens / seconds, tokens / (first + seconds)
        state_file.write_bytes(pickle.dumps(reader.state()))
    found["mib"], found["anonymous"] = memory("VmRSS") - before, memory("RssAnon") - anonymous_before
    found["received"] = (received() - received_before) / MIB
    found["cached"] = sum(path.stat().st_size for path in Path(cache).rglob("*") if path.is_file()) / MIB
    return found


def memory(kind: str) -> float:
    """Return resident memory in MiB (Linux): ``VmRSS`` is all of it, ``RssAnon`` the anonymous part."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{kind}:"))


def received() -> int:
    """Return the bytes that this machine has received over all networks, loopback included (Linux)."""
    lines = Path("/proc/self/net/dev").read_text().splitlines()[2:]
    return sum(int(line.partition(":")[2].split()[0]) for line in lines)


def _measure_in_turn(name: str, root: str, temporary: Path, batches: int) -> dict[str, float]:
    folder, state = storage.join(root, READERS[name][1]), temporary / "state"
    found: dict[str, float] = {}
    cache = temporary / "cache"  # The same folder again: litdata keeps its path in the state.
    for number in (batches, 0):
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir()
        command = [sys.executable, __file__, folder, "--reader", name, "--cache", str(cache)]
        command += ["--state", str(state), "--batches", str(number)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise InputError(f"{name}: ended with {done.returncode}: {done.stderr[-2000:]}")
        measured = json.loads(done.stdout.splitlines()[-1])
        found |= measured if number else {"resumed": measured["first"]}
    return found


def _page(found: Mapping[str, list[dict[str, float]]], about: str, options: argparse.Namespace) -> str:
    versions = [
        f"{each} {importlib.metadata.version(each)}"
        for _, _, each in READERS.values()
        if installed(each) and each
    ]
    where = f"{options.server} on the same machine" if options.remote else "local disk"
    columns = {
        "tokens/s": "{rate:,.0f} M",
        "first batch, s": "{first:.3f}",
        "resumed at 90 %, s": "{resumed:.3f}",
        "memory, MiB": "{mib:,.0f}",
        "anonymous memory, MiB": "{anonymous:,.0f}",
    }
    if options.remote:
        columns["tokens/s from opening on"] = "{whole_rate:,.0f} M"
        columns["received by the first batch, MiB"] = "{received_first:,.1f}"
        columns |= {"received, MiB": "{received:,.0f}", "cache, MiB": "{cached:,.0f}"}
    lines = [
        f"# Reading of token shards from {'a server' if options.remote else 'local disk'}",
        "",
        f"`python benchmarks/stream.py`, {date.today()}, medians of {options.rounds} rounds, "
        f"one PyTorch thread, {platform.machine()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, {', '.join(versions) or 'no peers'}. {about}, batches of {BATCH} rows, "
        f"from {where}.",
        "",
        f"| | {' | '.join(columns)} |",
        f"|---|{'--:|' * len(columns)}",
    ]
    for name, rounds in found.items():
        middle = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        middle["rate"] /= 1e6
        middle["whole_rate"] /= 1e6
        lines.append(f"| {name} | {' | '.join(columns.values())} |".format_map(middle))
    if not options.remote:
        lines += ["", *_shuffle_table(options.tokens)]
    return "\n".join(lines) + "\n"


def _shuffle_table(tokens: int) -> Iterator[str]:
    """Yield how evenly shuffled blocks spread rows, by their size, beside a shuffle of all rows."""
    number = max(tokens // 1024, 100 * BATCH)
    yield f"How `train.shuffle_block` and `train.shuffle_window` spread {number:,} rows:"
    yield ""
    yield (
        "| rows per block | blocks per window | correlation of neighbours "
        "| pairs of a batch from the same thousandth, ‰ |"
    )
    yield "|--:|--:|--:|--:|"
    for block, window in ((0, 1), (256, 16), *((block, 64) for block in (16, 64, 256, 1024))):
        stream = Stream("shuffle", 1, {"web": number}, {}, block=block, window=window)
        rows = stream.locate(np.arange(number)).indices
        parts = (rows[: number // BATCH * BATCH] * 1000 // number).reshape(-1, BATCH)
        counts = np.stack([np.bincount(batch, minlength=1000) for batch in parts])
        pairs = (counts * (counts - 1)).sum() / (len(parts) * BATCH * (BATCH - 1))
        correlation = np.corrcoef(rows[:-1], rows[1:])[0, 1]
        yield f"| {block or 'all'} | {window if block else ''} | {correlation:.4f} | {1000 * pairs:.2f} |"


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", metavar="RUN", help="folder of a run with shards")
    parser.add_argument("--tokens", type=int, default=100_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--remote", default="", metavar="s3://BUCKET/PREFIX")
    parser.add_argument("--server", default="an S3 server", metavar="NAME", help="for the results")
    parser.add_argument("--without-peers", action="store_true", help="for more tokens than they read in time")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--reader", choices=READERS, help=argparse.SUPPRESS)
    parser.add_argument("--cache", default="", help=argparse.SUPPRESS)
    parser.add_argument("--state", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--batches", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.output = options.output or RESULTS / ("stream_remote.md" if options.remote else "stream.md")
    return options


if __name__ == "__main__":
    run(main)

"""Throughput of ``core.storage`` beside the clients that it is built on, per kind of storage.

``python benchmarks/storage.py [--megabytes 256] [--rounds 5] [--s3-server PROGRAM]`` writes and reads a file

- on the local disk, beside Python's ``open``,
- in HDFS on loopback (``tests/servers/hdfs.py``), beside hdfs-native's client,
- on S3 on loopback, beside s3fs: ``versitygw`` if ``--s3-server`` names its program, else moto's server,

by four patterns: ``write`` in pieces of 1 MiB; ``read`` from start to end by as many; ``ranges``, requests of
256 KiB each at positions in random order, as the reader of an index of records does; ``parts``, a stream that
seeks to a position and reads 8 MiB, as tasks read their splits. Both sides read in turn, and who begins
changes from round to round, so that caches and a busy machine treat them alike; the ratio is that of the
medians. All data is compared.

Writes ``benchmarks/results/storage.md``.
"""

import argparse
import os
import platform
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import hdfs_native
import numpy as np
import s3fs

from core import storage
from core.errors import run
from core.storage.s3 import S3
from tests.servers.hdfs import hdfs_server
from tests.servers.process import free_port, running, wait_until
from tests.servers.s3 import s3_server

RESULTS = Path(__file__).parent / "results"
PIECE, RANGE, PART = 1 << 20, 1 << 18, 1 << 23
RANGES, PARTS = 200, 16
TARGET = 0.9
"""Share of the raw client's throughput that ours is to reach."""
BUCKET = "throughput"


class Side(Protocol):
    """Operations on one path by one library."""

    def write(self, pieces: Sequence[bytes]) -> None:
        """Write a file in pieces."""

    def open(self) -> Any:
        """Open the file for reading; a context manager, whose value has ``read`` and ``seek``."""

    def range(self, offset: int, length: int) -> bytes:
        """Read a range by one request."""


class Ours:
    """:mod:`core.storage`."""

    def __init__(self, path: str) -> None:
        self._path = path

    def write(self, pieces: Sequence[bytes]) -> None:
        """Write atomically."""
        with storage.open_write(self._path) as stream:
            for piece in pieces:
                stream.write(piece)

    def open(self) -> Any:
        """Open the file."""
        return storage.open_read(self._path)

    def range(self, offset: int, length: int) -> bytes:
        """Read a range."""
        return storage.read_range(self._path, offset, length)


class Local:
    """Python's own files."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def write(self, pieces: Sequence[bytes]) -> None:
        """Write the file under its name at once."""
        with self._path.open("wb") as stream:
            for piece in pieces:
                stream.write(piece)

    def open(self) -> Any:
        """Open the file."""
        return self._path.open("rb")

    def range(self, offset: int, length: int) -> bytes:
        """Open, seek and read."""
        with self._path.open("rb") as stream:
            stream.seek(offset)
            return stream.read(length)


class NativeHdfs:
    """hdfs-native's client."""

    def __init__(self, path: str) -> None:
        root, _, rest = path.removeprefix("hdfs://").partition("/")
        self._client, self._path = hdfs_native.Client(f"hdfs://{root}"), f"/{rest}"

    def write(self, pieces: Sequence[bytes]) -> None:
        """Write the file under its name at once."""
        with self._client.create(self._path, hdfs_native.WriteOptions(overwrite=True)) as stream:
            for piece in pieces:
                stream.write(piece)

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Open the file."""
        yield self._client.read(self._path)

    def range(self, offset: int, length: int) -> bytes:
        """Read a range of a file that is opened for it."""
        return bytes(self._client.read(self._path).read_range(offset, length))


class RawS3:
    """s3fs as it comes, with the block size that we use."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fs = s3fs.S3FileSystem(use_listings_cache=False)

    def write(self, pieces: Sequence[bytes]) -> None:
        """Write the object."""
        with self._fs.open(self._path, "wb") as stream:
            for piece in pieces:
                stream.write(piece)

    def open(self) -> Any:
        """Open the object."""
        return self._fs.open(self._path, "rb", block_size=storage.READ_AHEAD)

    def range(self, offset: int, length: int) -> bytes:
        """Read a range."""
        return bytes(self._fs.cat_file(self._path, start=offset, end=offset + length))


RAW: dict[str, Callable[[str], Side]] = {"local": Local, "HDFS": NativeHdfs, "S3": RawS3}


def read_all(side: Side, data: bytes, _: random.Random) -> int:
    """Read the file from start to end."""
    size = 0
    with side.open() as stream:
        while piece := stream.read(PIECE):
            assert piece == data[size : size + len(piece)]
            size += len(piece)
    assert size == len(data), f"{size} of {len(data)} bytes"
    return size


def read_ranges(side: Side, data: bytes, order: random.Random) -> int:
    """Read ranges in random order."""
    for _ in range(RANGES):
        offset = order.randrange(len(data) - RANGE)
        assert side.range(offset, RANGE) == data[offset : offset + RANGE]
    return RANGES * RANGE


def read_parts(side: Side, data: bytes, order: random.Random) -> int:
    """Seek and read, in one stream."""
    with side.open() as stream:
        for _ in range(PARTS):
            offset = order.randrange(len(data) - PART)
            stream.seek(offset)
            read = 0
            while read < PART:
                piece = stream.read(min(PIECE, PART - read))
                assert piece == data[offset + read : offset + read + len(piece)]
                read += len(piece)
    return PARTS * PART


def write(side: Side, data: bytes, _: random.Random) -> int:
    """Write the file."""
    side.write([data[at : at + PIECE] for at in range(0, len(data), PIECE)])
    return len(data)


PATTERNS: dict[str, Callable[[Side, bytes, random.Random], int]] = {
    "write": write,
    "read": read_all,
    "ranges": read_ranges,
    "parts": read_parts,
}


def measure(kind: str, root: str, data: bytes, rounds: int) -> Iterator[str]:
    """Yield a row of the table for every pattern."""
    paths = {name: f"{root}/{name}.bin" for name in ("ours", "raw")}
    sides: dict[str, Side] = {"ours": Ours(paths["ours"]), "raw": RAW[kind](paths["raw"])}
    for pattern, act in PATTERNS.items():
        speeds: dict[str, list[float]] = {name: [] for name in sides}
        busy: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(-1, rounds):
            for name in sorted(sides, reverse=bool(number % 2)):
                if pattern == "write":
                    storage.remove(paths[name])  # replacing a file costs the file system more than a new one
                started, begun = time.perf_counter(), time.process_time()
                size = act(sides[name], data, random.Random(number))
                seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - begun
                if number >= 0:  # the first round opens connections
                    speeds[name].append(size / 1e6 / seconds)
                    busy[name].append(cpu_seconds / size * 1e12)
        ours, raw = (statistics.median(speeds[name]) for name in ("ours", "raw"))
        low, high = min(speeds["ours"]), max(speeds["ours"])
        mark = "" if ours / raw >= TARGET else " **below**"
        yield (
            f"| {kind} | {pattern} | {ours:,.0f} | {low:,.0f} to {high:,.0f} | {raw:,.0f} | "
            f"{min(speeds['raw']):,.0f} to {max(speeds['raw']):,.0f} | {ours / raw:.2f}{mark} | "
            f"{statistics.median(busy['ours']):,.0f} | {statistics.median(busy['raw']):,.0f} |"
        )


@contextmanager
def versitygw(program: str, folder: Path) -> Iterator[str]:
    """Run versitygw over a folder with an empty bucket; set the ``AWS_*`` variables; yield ``s3://bucket``."""
    port, log, objects = free_port(), folder / "s3.log", folder / "objects"
    (objects / BUCKET).mkdir(parents=True)
    keys = {"ROOT_ACCESS_KEY": "test", "ROOT_SECRET_KEY": "test-secret"}
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": keys["ROOT_ACCESS_KEY"],
        "AWS_SECRET_ACCESS_KEY": keys["ROOT_SECRET_KEY"],
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    command = [program, "--port", f"127.0.0.1:{port}", "--health", "/health", "posix", str(objects)]
    with running(command, log, os.environ | keys) as process, mock.patch.dict(os.environ, variables):
        S3.clear_instance_cache()
        wait_until(lambda: _is_healthy(port), process, log, 30)
        yield f"s3://{BUCKET}"
        S3.clear_instance_cache()


def _is_healthy(port: int) -> bool:
    check = ["curl", "-sf", f"http://127.0.0.1:{port}/health"]
    return subprocess.run(check, check=False, capture_output=True).returncode == 0


def main(arguments: Sequence[str]) -> None:
    """Measure all kinds of storage and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kinds", nargs="+", choices=RAW, default=list(RAW))
    parser.add_argument("--s3-server", default="", help="the program of versitygw")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--output", type=Path, default=RESULTS / "storage.md")
    options = parser.parse_args(arguments)
    data = np.random.default_rng(1).bytes(options.megabytes << 20)
    server = "versitygw" if options.s3_server else "moto"
    lines = [
        "# Throughput of storage",
        "",
        f"`python benchmarks/storage.py --megabytes {options.megabytes} --rounds {options.rounds}` on "
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()}, Python "
        f"{platform.python_version()}; S3 is {server}, both servers on loopback. MB/s, medians and extremes "
        f"of {options.rounds} rounds in turn; the ratio is ours to raw, target {TARGET:g}. CPU: milliseconds "
        "of this process for a gigabyte.",
        "",
        "| storage | pattern | ours | | raw | | ratio | CPU, ours | CPU, raw |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for kind in options.kinds:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.work)))
            root = str(folder)
            if kind == "HDFS":
                root = stack.enter_context(hdfs_server(folder))
            elif kind == "S3":
                started = versitygw(options.s3_server, folder) if options.s3_server else s3_server(folder)
                root = stack.enter_context(started)
            for row in measure(kind, root, data, options.rounds):
                lines.append(row)
                print(row, flush=True)
    options.output.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    run(main)

"""Time and memory of the driver by number of input and output files, up to a crawl of 10⁵ WARC files.

``python benchmarks/many_files.py [--files 1000 10000 100000]`` measures, each in a process of its own,

- ``list``: listing a folder of that many local input files (empty, sparse files of a gigabyte);
- ``plan``: cutting the files into splits of 128 MiB and grouping them into tasks;
- ``fingerprint``: hashing configuration, paths, sizes and versions;
- ``manifest``: a manifest with an entry for that many inputs and three output files for each split, as clean
  writes them (documents, ledger, quarantine): building, writing, reading, its size, and its hash;
- ``entries``: the rows that tasks return about output files, as objects of the driver.

Writes ``benchmarks/results/many_files.md``.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path

from core import manifest, storage
from core.config import Config, InputConfig, resolved
from core.errors import run
from core.manifest import FileEntry
from core.stage import Stage
from pipeline.readers.grouping import group_splits
from pipeline.readers.record import InputSplit

RESULTS = Path(__file__).parent / "results"
GIGABYTE = 10**9
SPLITS = 8
"""Splits of 128 MiB of a file of a gigabyte."""
TABLES = ("documents", "ledger", "quarantine")
CRAWL = "s3://commoncrawl/crawl-data/CC-MAIN-2026-05/segments/1737703522150.71/warc/CC-MAIN-20260118"


def names(count: int) -> list[str]:
    """Return paths as long as those of Common Crawl."""
    return [f"{CRAWL}{number:06d}-20260118{number:06d}-{number:05d}.warc.gz" for number in range(count)]


def splits(count: int) -> list[InputSplit]:
    """Return the splits of as many files of a gigabyte."""
    size = GIGABYTE // SPLITS
    return [
        InputSplit(path, storage.name(path), "warc", "commoncrawl", number * size, size)
        for path in names(count)
        for number in range(SPLITS)
    ]


def entries(count: int) -> list[FileEntry]:
    """Return the entries of the tables that clean writes, a file for each task."""
    job = "5f3c7a52-9c1e-4a55-9a53-0d6f8f0c1b7e-c000.zstd.parquet"
    return [
        FileEntry(
            path=f"{table}/part-{number:05d}-{job}",
            size=110_000_000 + number,
            rows=25_000,
            sha256=hashlib.sha256(f"{table}{number}".encode()).hexdigest(),
        )
        for table in TABLES
        for number in range(count)
    ]


def list_local(count: int, folder: Path) -> str:
    """List a local folder."""
    inputs = folder / "crawl"
    inputs.mkdir()
    for path in names(count):
        with (inputs / storage.name(path)).open("wb") as stream:
            stream.truncate(GIGABYTE)
    started = time.perf_counter()
    found = storage.list_files(str(inputs))
    return f"{time.perf_counter() - started:.1f} s, {len(found):,} files"


def plan(count: int, _: Path) -> str:
    """Group the splits into tasks, and make the rows that Spark receives."""
    made = splits(count)
    started = time.perf_counter()
    groups = group_splits(made, InputConfig().split_bytes, 16)
    rows = [(task, *astuple(split)) for task, group in enumerate(groups) for split in group]
    return f"{time.perf_counter() - started:.1f} s, {len(groups):,} tasks of {len(rows):,} splits"


def fingerprint(count: int, _: Path) -> str:
    """Hash what the output depends on."""
    versions = [f"{path} {GIGABYTE} {'e' * 32}-64" for path in names(count)]
    started = time.perf_counter()
    manifest.fingerprint("clean", resolved(Config(), "input"), versions)
    return f"{time.perf_counter() - started:.2f} s"


def publish(count: int, folder: Path) -> str:
    """Publish a manifest."""
    stage = Stage("clean", str(folder), "f" * 64, {"input": {}}, names(count), owned=("documents",))
    files = entries(count * SPLITS)
    started = time.perf_counter()
    stage.publish({"records_in": 1}, files, {})
    seconds = time.perf_counter() - started
    size = (folder / manifest.NAME).stat().st_size
    return f"{seconds:.1f} s; {len(files):,} entries, {size / 1e6:,.1f} MB"


def read(count: int, folder: Path) -> str:
    """Read a manifest, which another process has published, and hash it."""
    other = multiprocessing.get_context("spawn").Process(target=publish, args=(count, folder))
    other.start()
    other.join()
    started = time.perf_counter()
    found = manifest.read(str(folder), "clean")
    seconds = time.perf_counter() - started
    found.sha256()
    return f"{seconds:.1f} s, and {time.perf_counter() - started - seconds:.1f} s to hash"


def hold_entries(count: int, _: Path) -> str:
    """Hold the entries of all output files as objects."""
    started = time.perf_counter()
    held = entries(count * SPLITS)
    described = sum(len(entry.path) for entry in held)
    return f"{time.perf_counter() - started:.1f} s, {len(held):,} entries, {described / 1e6:,.1f} MB of paths"


STEPS: dict[str, Callable[[int, Path], str]] = {
    "list": list_local,
    "plan": plan,
    "fingerprint": fingerprint,
    "entries": hold_entries,
    "publish": publish,
    "read": read,
}


def measure(name: str, count: int) -> None:
    """Run one step and print its result, and by how much it raised the peak of this process's memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        described = STEPS[name](count, Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"result": described, "megabytes": (peak - before) / 1024}))


def main(arguments: Sequence[str]) -> None:
    """Measure all steps and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--step", choices=STEPS)
    parser.add_argument("--output", type=Path, default=RESULTS / "many_files.md")
    options = parser.parse_args(arguments)
    if options.step:
        measure(options.step, options.files[0])
        return
    lines = [
        "# What grows on the driver with the number of input files",
        "",
        f"`python benchmarks/many_files.py --files {' '.join(map(str, options.files))}` on "
        f"{datetime.now(UTC):%Y-%m-%d}, one of {os.cpu_count()} cores, {platform.machine()}, "
        f"Python {platform.python_version()}. Files of a gigabyte, read in {SPLITS} tasks each; the driver's "
        "Python, without the JVM. A crawl of Common Crawl has about 10⁵.",
        "",
        "| step | input files | | MB more |",
        "|---|--:|---|--:|",
    ]
    for name in STEPS:
        for count in options.files:
            command = [sys.executable, __file__, "--step", name, "--files", str(count)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            lines.append(f"| {name} | {count:,} | {found['result']} | {found['megabytes']:,.0f} |")
            print(lines[-1], flush=True)
    options.output.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    run(main)

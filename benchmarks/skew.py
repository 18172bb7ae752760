"""Task times by stage where the data is skewed: no task may take much longer than the others of its stage.

``python benchmarks/skew.py [--documents 30000] [--cases …]`` runs ``jobs/clean.py`` without filters, with
deduplication and the removal of repeated lines, over generated texts, on two cores, with 16 shuffle
partitions that Spark may not merge:

- ``even``: 100 hosts, 20 % copies in small clusters (``dedup_documents.py``).
- ``host``: half of all pages are of one host.
- ``language``: all pages are in one language, and half have the same footer.
- ``address``: a third of all pages are captures of one address.
- ``copies``: half of all pages are exact copies of one page.
- ``cluster``: half of all pages are near copies of one page.

The first task of each core in a stage is left out: it starts a Python worker and loads its models.
Prints the stages whose median task took half a second or more, or whose longest task took two seconds or
more: the longest in relation to the median, and the largest memory of a task; and the peak of the largest
Python worker. Writes ``benchmarks/results/skew.md``.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dedup_documents import REPOSITORY, run_command
from benchmarks.dedup_scale import MemoryWatch
from core.errors import run

RESULTS = Path(__file__).parent / "results"
CASES = ("even", "host", "language", "address", "copies", "cluster")
TASKS, CORES = 16, 2
MEDIAN, LONGEST = 0.5, 2.0
"""Seconds from which a stage is shown, by its median and by its longest task."""
LIMIT = 3.0
"""Longest task of a stage in relation to the median."""
WORDS, VOCABULARY = 80, 20_000
CHANGED = 2
"""Words that differ in a near copy: a Jaccard similarity of about .77 to the original."""
MIB = 1 << 20
FOOTER = "all rights reserved, imprint and privacy policy of this fine site"


@dataclass
class StageTimes:
    """Tasks of one stage that succeeded."""

    name: str
    seconds: list[float] = field(default_factory=list)
    memory: int = 0
    """Largest execution memory of a task, in bytes."""
    shuffle_read: list[int] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median of the seconds."""
        return statistics.median(self.seconds)

    @property
    def ratio(self) -> float:
        """Longest task in relation to the median, which counts for half a second at least."""
        return max(self.seconds) / max(self.median, MEDIAN)

    @property
    def is_shown(self) -> bool:
        """True if the stage takes long enough to be judged."""
        return len(self.seconds) > 2 and (self.median >= MEDIAN or max(self.seconds) >= LONGEST)


def write_documents(folder: Path, case: str, count: int) -> None:
    """Write the documents of a case as JSON lines with ``url``, ``text`` and ``date``, a file a task."""
    rng = np.random.default_rng(1)
    letters = rng.integers(ord("a"), ord("z") + 1, (VOCABULARY, 8)).astype(np.uint8)
    vocabulary = [bytes(word[: 2 + number % 7]).decode() for number, word in enumerate(letters)]
    cumulative = np.cumsum(1 / (np.arange(1, VOCABULARY + 1) + 10.0))
    documents = cumulative.searchsorted(rng.random((count, WORDS)) * cumulative[-1])
    pages, skewed = np.arange(count), rng.random(count) < (1 / 3 if case == "address" else 0.5)
    copied = rng.random(count) < 0.2
    copied[0] = False
    documents[copied] = documents[np.maximum(pages[copied] - rng.integers(1, 20, copied.sum()), 0)]
    if case in ("copies", "cluster"):
        documents[skewed] = documents[0]
    if case == "cluster":
        changed = np.flatnonzero(skewed)
        at = rng.integers(0, WORDS, (len(changed), CHANGED))
        documents[changed[:, None], at] = rng.integers(0, VOCABULARY, at.shape)
    folder.mkdir()
    lines = [
        _row(page, words, vocabulary, case, is_skewed=bool(skewed[page]))
        for page, words in enumerate(documents.tolist())
    ]
    for number in range(TASKS):
        part = lines[number * count // TASKS : (number + 1) * count // TASKS]
        (folder / f"part-{number:02}.jsonl").write_text("".join(part), encoding="utf-8")


def _row(page: int, words: list[int], vocabulary: list[str], case: str, *, is_skewed: bool) -> str:
    """Return the line of a document."""
    host = 0 if case == "host" and is_skewed else page % 100
    address = 0 if case == "address" and is_skewed else page
    sentences = [" ".join(vocabulary[word] for word in words[at : at + 16]) for at in range(0, WORDS, 16)]
    text = ". ".join(sentences)
    if case == "language" and is_skewed:
        text += f"\n{FOOTER}"
    row = {
        "url": f"https://www.site-{host if address else 0}.org/page/{address}",
        "date": f"2026-01-{1 + page % 28:02}T00:00:00Z",
        "text": text,
    }
    return json.dumps(row) + "\n"


def measure(
    case: str, count: int, folder: Path
) -> tuple[list[StageTimes], Mapping[str, int], dict[str, Any]]:
    """Run the job over a case. Returns its stages, peaks of memory by kind of process, and its counts."""
    events, out = folder / "events", folder / "out"
    events.mkdir()
    write_documents(folder / "documents", case, count)
    settings = {
        "input.paths": json.dumps([f"{folder}/documents/*.jsonl"]),
        "input.partitions": str(TASKS),
        "output.path": str(out),
        "filters.preset": "none",
        "dedup.url": "true",
        "dedup.lines.min_documents": "100",
        "dedup.lines.min_hosts": "10",
    }
    spark = {
        "spark.sql.shuffle.partitions": str(TASKS),
        "spark.sql.adaptive.coalescePartitions.enabled": "false",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.dir": f"file://{events}",
    }
    command = [str(Path(sys.executable).with_name("spark-submit")), "--master", f"local[{CORES}]"]
    command += ["--driver-memory", "2g"]
    command += [word for pair in spark.items() for word in ("--conf", "=".join(pair))]
    command += [str(REPOSITORY / "jobs" / "clean.py")]
    command += [word for pair in settings.items() for word in ("--set", "=".join(pair))]
    with MemoryWatch() as memory:
        run_command(command, limit=3600, folder=folder)
    (log,) = events.iterdir()
    counts = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["counts"]
    return list(read_stages(log)), memory.peak, counts


def read_stages(log: Path) -> Iterator[StageTimes]:
    """Yield the stages of an event log with the run times of their tasks, as the executor measured them."""
    stages: dict[int, StageTimes] = defaultdict(lambda: StageTimes(""))
    tasks: dict[int, list[tuple[int, int, float]]] = defaultdict(list)
    with log.open(encoding="utf-8") as stream:
        for event in map(json.loads, stream):
            if event["Event"] == "SparkListenerStageSubmitted":
                stage = event["Stage Info"]
                stages[stage["Stage ID"]].name = stage["Stage Name"]
            elif event["Event"] == "SparkListenerTaskEnd" and not event["Task Info"]["Failed"]:
                found, metrics = stages[event["Stage ID"]], event["Task Metrics"]
                launched, seconds = event["Task Info"]["Launch Time"], metrics["Executor Run Time"] / 1000
                found.memory = max(found.memory, metrics["Peak Execution Memory"])
                read = metrics["Shuffle Read Metrics"]
                found.shuffle_read.append(read["Local Bytes Read"] + read["Remote Bytes Read"])
                tasks[event["Stage ID"]].append((launched, found.shuffle_read[-1], seconds))
    for number, stage in sorted(stages.items()):
        stage.seconds = list(_after_start(sorted(tasks[number])))
        if stage.seconds:
            yield stage


def _after_start(tasks: Sequence[tuple[int, int, float]]) -> Iterator[float]:
    """Yield the seconds of tasks, given by launch, bytes of the shuffle and seconds.

    The first task on each core is left out, as it starts a worker and loads models, unless it has much more
    to read than others.
    """
    usual = statistics.median(read for _, read, _ in tasks)
    for number, (_, read, seconds) in enumerate(tasks):
        if number >= CORES or read > LIMIT * usual:
            yield seconds


def main(arguments: Sequence[str]) -> None:
    """Measure all cases and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--documents", type=int, default=30_000)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--output", type=Path, default=RESULTS / "skew.md")
    options = parser.parse_args(arguments)
    lines = [
        "# Skew",
        "",
        f"`python benchmarks/skew.py --documents {options.documents}` on {datetime.now(UTC):%Y-%m-%d}, two "
        f"of {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}. Longest task "
        f"of a stage in relation to the median (at least {MEDIAN} s); limit {LIMIT:g}.",
        "",
        "| case | stage | tasks | median, s | longest, s | ratio | task memory, MiB | largest shuffle |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    workers = []
    for case in options.cases:
        folder = Path(tempfile.mkdtemp(prefix="skew-", dir=options.work))
        try:
            stages, memory, counts = measure(case, options.documents, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        for stage in stages:
            if stage.is_shown:
                mark = " **over**" if stage.ratio > LIMIT else ""
                read = sum(stage.shuffle_read)
                share = f"{max(stage.shuffle_read) / read:.0%}" if read else "–"
                lines.append(
                    f"| {case} | {stage.name} | {len(stage.seconds)} | {stage.median:.2f} | "
                    f"{max(stage.seconds):.2f} | {stage.ratio:.1f}{mark} | {stage.memory / MIB:.0f} "
                    f"| {share} |"
                )
        total = sum(sum(stage.seconds) for stage in stages)
        workers.append(
            f"| {case} | {counts['kept']:,} | {memory['worker'] / MIB:,.0f} | {memory['jvm'] / MIB:,.0f} | "
            f"{total:,.0f} |"
        )
        print("\n".join(lines[-20:]), workers[-1], sep="\n", flush=True)
    lines += [
        "",
        "| case | kept | largest Python worker, MiB | JVM, MiB | task seconds |",
        "|---|--:|--:|--:|--:|",
    ]
    options.output.write_text("\n".join([*lines, *workers, ""]), encoding="utf-8")
    print(options.output.read_text(encoding="utf-8"))


if __name__ == "__main__":
    run(main)

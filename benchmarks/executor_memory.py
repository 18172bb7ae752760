"""Resident memory of Spark's processes during clean, dedup, tokenizer and pack, by kind of process and step.

``python benchmarks/executor_memory.py CRAWL…`` runs the jobs over the files, with executors as processes of
their own on this machine (``--master 'local-cluster[1,2,2048]'``: executors, cores and MB of each), and reads
the sizes of all their processes from ``/proc`` every quarter of a second. ``--set`` settings are passed on.

RSS counts a page in each process that has it, as YARN does by default; PSS divides it among them, so that
its sum is about what a container's limit counts, without files in the page cache. Models and lists are
memory-mapped or inherited by forks, so the sums differ. Sizes between two samples are missed: take RSS with a
margin. Spark's own samples, every 10 seconds, are in ``run.json``; the heap is from there.

Writes ``benchmarks/results/executor_memory.md``. Requires Linux.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pyspark

from core.errors import GristmillError, run
from pipeline import runs
from pipeline.spark.session.java import java_home

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
JOBS = ("clean", "dedup", "train_tokenizer", "pack")
FOLDERS = {"train_tokenizer": "tokenizer", "pack": "shards"}
"""Folder of a job's ``run.json`` below its output, if it is another."""
KINDS = (
    "driver JVM",
    "driver Python",
    "executor JVM",
    "Python daemon",
    "Python worker",
    "extraction process",
)
IN_EXECUTOR = KINDS[2:]
MIB = 1 << 20


class Process(NamedTuple):
    """A process at the time of a sample; sizes in bytes."""

    pid: int
    parent: int
    kind: str
    rss: int
    pss: int


@dataclass
class Peaks:
    """Largest sizes in one step; in bytes."""

    one: dict[str, tuple[int, int]] = field(default_factory=dict)
    """RSS and PSS of the largest process by kind."""
    count: dict[str, int] = field(default_factory=dict)
    """Processes of a kind at the same time, in one executor."""
    python: int = 0
    """PSS of one executor's Python and extraction processes together."""
    executor: tuple[int, int] = (0, 0)
    """RSS and PSS of one executor's processes together, with its JVM."""
    samples: int = 0

    def add(self, processes: Sequence[Process]) -> None:
        """Add a sample."""
        self.samples += 1
        for each in processes:
            rss, pss = self.one.get(each.kind, (0, 0))
            self.one[each.kind] = max(rss, each.rss), max(pss, each.pss)
        for tree in executors(processes):
            for kind in IN_EXECUTOR:
                found = sum(each.kind == kind for each in tree)
                self.count[kind] = max(self.count.get(kind, 0), found)
            rss, pss = sum(each.rss for each in tree), sum(each.pss for each in tree)
            self.executor = max(self.executor[0], rss), max(self.executor[1], pss)
            self.python = max(self.python, sum(each.pss for each in tree if not each.kind.endswith("JVM")))


def executors(processes: Sequence[Process]) -> Iterator[list[Process]]:
    """Yield each executor's processes, its JVM first. In local mode, the driver is the executor."""
    children = defaultdict(list)
    for each in processes:
        children[each.parent].append(each)
    roots = [each for each in processes if each.kind == "executor JVM"]
    for root in roots or [each for each in processes if each.kind == "driver JVM"]:
        tree, left = [], [root]
        while left:
            tree.append(left.pop())
            left += children[tree[-1].pid]
        yield [each for each in tree if each.kind in IN_EXECUTOR or each is root]


def sample(root: int) -> list[Process]:
    """Return a process and its descendants, as far as they belong to a job."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int(_read(int(folder.name), "stat").rpartition(")")[2].split()[1])
    found: list[Process] = []
    for pid in (root, *_descendants(root, parents)):
        with suppress(OSError, KeyError):  # it has ended
            command = _read(pid, "cmdline").replace("\0", " ")
            kind = kind_of(command, "pyspark.daemon" in _read(parents[pid], "cmdline"))
            if kind:
                found.append(Process(pid, parents[pid], kind, *_sizes(pid)))
    return found


def kind_of(command: str, of_daemon: bool) -> str | None:
    """Return the kind of a process; None if it is of no interest, such as a shell.

    ``of_daemon``: its parent forks Python workers.
    """
    if "pipeline.extraction.worker" in command:
        return "extraction process"
    if "pyspark.daemon" in command:
        return "Python worker" if of_daemon else "Python daemon"
    if "CoarseGrainedExecutorBackend" in command:
        return "executor JVM"
    if "org.apache.spark.deploy.SparkSubmit" in command:
        return "driver JVM"
    return "driver Python" if re.search(r"jobs/\w+\.py", command) and "python" in command else None


def _descendants(root: int, parents: Mapping[int, int]) -> Iterator[int]:
    for pid, parent in parents.items():
        if parent == root:
            yield pid
            yield from _descendants(pid, parents)


def _read(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text(errors="replace")


def _sizes(pid: int) -> tuple[int, int]:
    fields = dict(re.findall(r"^(Rss|Pss): +(\d+) kB", _read(pid, "smaps_rollup"), re.MULTILINE))
    return int(fields.get("Rss", 0)) * 1024, int(fields.get("Pss", 0)) * 1024


class Sampler(threading.Thread):
    """Samples a job's processes until it is stopped, by step."""

    def __init__(self, root: int, job: str, interval: float) -> None:
        super().__init__(daemon=True)
        self.step = f"{job}: before the first step"
        self.peaks: dict[str, Peaks] = {}
        self._root, self._interval, self._stopped = root, interval, threading.Event()

    def run(self) -> None:
        """Take samples."""
        while not self._stopped.wait(self._interval):
            self.peaks.setdefault(self.step, Peaks()).add(sample(self._root))

    def stop(self) -> None:
        """Take no more."""
        self._stopped.set()
        self.join()


def measure(job: str, arguments: Sequence[str], options: Sequence[str], interval: float) -> dict[str, Peaks]:
    """Run a job and return the peaks of its steps."""
    home = Path(pyspark.__file__).parent
    variables = {"JAVA_HOME": java_home(), "SPARK_HOME": str(home), "PYSPARK_PYTHON": sys.executable}
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    variables["SPARK_CONF_DIR"] = str(ROOT / "pipeline/spark/session/conf")
    command = [str(home / "bin/spark-submit"), *options, str(ROOT / f"jobs/{job}.py"), *arguments]
    with subprocess.Popen(
        command, env=os.environ | variables, cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        sampler = Sampler(process.pid, job, interval)
        sampler.start()
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            if line.endswith(" …\n"):
                sampler.step = line.removesuffix(" …\n")
        code = process.wait()
        sampler.stop()
    if code:
        raise GristmillError(f"jobs/{job}.py: ended with {code}; see its messages above")
    return sampler.peaks


def heaps(folder: str) -> dict[str, int]:
    """Return the largest heap of an executor, in bytes, by title of the step; 0 if Spark has no sample."""
    (*_, attempt) = runs.read(folder).attempts
    return {step.title: step.usage.peak_jvm_heap for step in attempt.steps}


def table_of_steps(peaks: Mapping[str, Peaks], heap: Mapping[str, int]) -> list[str]:
    """Return a table in Markdown: a row for each step."""
    columns = ["step", "JVM", "its heap", "largest Python worker", "largest extraction process"]
    columns += ["Python in all", "executor"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for step, each in peaks.items():
        jvm = each.one.get("executor JVM") or each.one.get("driver JVM") or (0, 0)
        cells = [_mib(jvm[0]), _mib(heap.get(step, 0))]
        cells += [_pair(each.one.get(kind)) for kind in ("Python worker", "extraction process")]
        cells += [_mib(each.python), _pair(each.executor)]
        lines.append(f"| {step} | {' | '.join(cells)} |")
    return lines


def table_of_processes(peaks: Mapping[str, Peaks]) -> list[str]:
    """Return a table in Markdown: a row for each kind of process."""
    lines = ["| process | at once in an executor | largest RSS / PSS | in step |", "|---|---|---|---|"]
    for kind in KINDS:
        sizes = {step: each.one[kind] for step, each in peaks.items() if kind in each.one}
        if sizes:
            step = max(sizes, key=lambda each: sizes[each])
            count = max(each.count.get(kind, 0) for each in peaks.values())
            lines.append(f"| {kind} | {count or ''} | {_pair(sizes[step])} | {step} |")
    return lines


def _mib(size: int) -> str:
    return f"{size / MIB:,.0f}" if size else ""


def _pair(sizes: tuple[int, int] | None) -> str:
    return f"{_mib(sizes[0])} / {_mib(sizes[1])}" if sizes and sizes[0] else ""


def main(arguments: Sequence[str]) -> None:
    """Run the jobs, print the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("paths", nargs="+", help="raw crawl files or folders")
    parser.add_argument("--master", default="local-cluster[1,2,2048]")
    parser.add_argument("--executor-memory", default="1g", help="heap of an executor")
    parser.add_argument("--driver-memory", default="1g")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=JOBS, help="in this order")
    parser.add_argument("--config", help="configuration of the jobs")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    parser.add_argument("--interval", type=float, default=0.25, help="seconds between samples")
    parser.add_argument("--output", help="folder for the jobs' output; by default a temporary one")
    parser.add_argument("--result", type=Path, default=RESULTS / "executor_memory.md")
    given = parser.parse_args(arguments)
    options = ["--master", given.master, "--driver-memory", given.driver_memory]
    options += ["--executor-memory", given.executor_memory]
    with tempfile.TemporaryDirectory() as temporary:
        out = given.output or f"{temporary}/out"
        peaks: dict[str, Peaks] = {}
        heap: dict[str, int] = {}
        started = time.monotonic()
        for job in given.jobs:
            inputs, folder = [str(Path(path).absolute()) for path in given.paths], out
            if job == "dedup":  # of what clean has published
                inputs, folder = [f"{out}/documents"], f"{out}.dedup"
            settings = [*given.settings, f"input.paths={json.dumps(inputs)}", f"output.path={folder}"]
            words = [word for each in settings for word in ("--set", each)]
            words += ["--config", given.config] if given.config else []
            peaks |= measure(job, words, options, given.interval)
            heap |= heaps("/".join(filter(None, [folder, FOLDERS.get(job)])))
        seconds = time.monotonic() - started
    command = " ".join(["python benchmarks/executor_memory.py", *sys.argv[1:]])
    lines = ["# Memory of executors", "", f"`{command}`, {date.today()}, {seconds:,.0f} s. Sizes in MiB;"]
    lines += ["two sizes are RSS / PSS, one for JVM is RSS, one for Python is PSS.", ""]
    lines += [*table_of_processes(peaks), "", *table_of_steps(peaks, heap)]
    print("\n".join(lines[2:]))
    given.result.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run(main)

"""Resident memory of the processes of a Spark job, by kind, read from ``/proc``."""

import contextlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmarks.dedup_scale import descendants

KINDS = ("driver_jvm", "driver_python", "executor_jvm", "workers", "largest_worker", "extraction")
"""Driver; executors, with their Python workers (all together, and the largest one) and the workers'
extraction processes. In local mode the driver's JVM is the executor, too."""
_HEAP = re.compile(r"->(\d+)M\(\d+M\)")


def kind_of(command: bytes) -> str | None:
    """Return what a process is by its command line; None for one that does not belong to a job."""
    if b"deploy.SparkSubmit" in command:
        return "driver_jvm"
    if b"CoarseGrainedExecutorBackend" in command:
        return "executor_jvm"
    if b"pyspark.daemon" in command or b"pyspark/daemon" in command:
        return "workers"
    if b"pipeline.extraction.worker" in command:
        return "extraction"
    is_python = b"python" in command.partition(b"\0")[0].rpartition(b"/")[2]
    return "driver_python" if is_python and b"/jobs/" in command else None


def proportional_size(process: Path) -> int:
    """Return the resident bytes of a process; a page that n processes share counts 1/n."""
    found = re.search(rb"^Pss:\s+(\d+) kB", (process / "smaps_rollup").read_bytes(), re.MULTILINE)
    return int(found[1]) << 10 if found else 0


def measure() -> dict[str, int]:
    """Return the bytes of this process's descendants by kind, for all of ``KINDS``."""
    found: dict[str, int] = defaultdict(int)
    for process in _job_processes():
        with contextlib.suppress(OSError):  # it has ended
            if kind := kind_of((process / "cmdline").read_bytes()):
                size = proportional_size(process)
                found[kind] += size
                if kind == "workers":
                    found["largest_worker"] = max(found["largest_worker"], size)
    return {kind: found[kind] for kind in KINDS}


def _job_processes() -> Iterator[Path]:
    yield from descendants(os.getpid())


class HeapLog:
    """Heap in use after garbage collections, from logs that a JVM writes with ``-Xlog:gc:file=…``."""

    def __init__(self, folder: Path, pattern: str) -> None:
        self._folder, self._pattern = folder, pattern
        self._read: dict[Path, int] = defaultdict(int)

    def least(self) -> int | None:
        """Return the least heap since the last call, in bytes, of the JVM with the largest one; else None.

        A collection of the young generation leaves garbage in the old one, so that the least is nearest to
        what is really held.
        """
        found = []
        for log in self._folder.glob(self._pattern):
            with log.open("rb") as stream:
                stream.seek(self._read[log])
                text = stream.read()
            self._read[log] += len(text)
            if heaps := [int(used) for used in _HEAP.findall(text.decode(errors="replace"))]:
                found.append(min(heaps))
        return max(found) << 20 if found else None

"""Training metrics as lines of JSON, and a progress line; written by rank 0 only."""

import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core import storage
from core.messages import duration

FILE = "metrics.jsonl"
SKIPPED = "train/skipped"
"""Why a step did not change the weights."""
TIME_LEFT = "perf/time_left"
"""Estimated seconds until the last step."""
MEMORY = "perf/memory_gib"
"""Largest amount of memory so far in GiB: of tensors on CUDA, elsewhere of the process."""
LOG_SECONDS, TERMINAL_SECONDS = 10.0, 0.5
"""Minimum time between progress lines in a log, and between updates of the line on a terminal."""


class StepLines:
    """A file of one JSON object per line, each with its step, such as ``metrics.jsonl``.

    For a remote folder, it is written to a temporary folder and uploaded by :meth:`publish`.
    """

    def __init__(self, folder: str, name: str, step: int) -> None:
        """Continue after ``step``; lines of later steps from an earlier attempt are removed."""
        self._target = storage.join(folder, name)
        self._remote = not storage.is_local(folder)
        self._temporary = tempfile.TemporaryDirectory(prefix="gristmill-")
        self.path = Path(self._temporary.name if self._remote else folder.removeprefix("file://")) / name
        kept = b"".join(line for line in _complete_lines(self._target) if json.loads(line)["step"] <= step)
        storage.write_atomic(str(self.path), kept)
        self._file = self.path.open("a", encoding="utf-8")

    def add(self, step: int, values: Mapping[str, Any]) -> None:
        """Add a line."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def publish(self) -> None:
        """Upload the file to a remote folder."""
        if self._remote:
            storage.upload(str(self.path), self._target)

    def close(self) -> None:
        """Close without publishing."""
        self._file.close()
        self._temporary.cleanup()


def read_lines(path: str) -> Iterator[dict[str, Any]]:
    """Yield the objects in the complete lines of a file; none if it is missing."""
    yield from map(json.loads, _complete_lines(path))


def finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics without those that are not finite numbers, which JSON does not have."""
    return {
        name: value for name, value in values.items() if not isinstance(value, float) or math.isfinite(value)
    }


def _complete_lines(path: str) -> list[bytes]:
    lines = storage.read_bytes(path).splitlines(keepends=True) if storage.exists(path) else []
    return [line for line in lines if line.endswith(b"\n")]


class ProgressLine:
    """Progress on stderr: step, loss, throughput and estimated time left."""

    def __init__(self, stage: str, steps: int) -> None:
        self._stage, self._steps = stage, steps
        self._last_shown = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._validation = ""

    def update(self, step: int, values: Mapping[str, Any]) -> None:
        """Show a finished step if it is validated, skipped, the last, or enough time has passed."""
        now = time.monotonic()
        if "val/bpb" in values:
            self._validation = f" · val bpb {values['val/bpb']:.3f}"
        due = now - self._last_shown >= (TERMINAL_SECONDS if self._terminal else LOG_SECONDS)
        if not (due or step == self._steps or "val/bpb" in values or SKIPPED in values):
            return
        self._last_shown = now
        loss = f"loss {values['train/loss']:.3f}" if "train/loss" in values else "no targets"
        if SKIPPED in values:
            loss = f"skipped, {values[SKIPPED]}"
        line = (
            f"{self._stage}: step {step}/{self._steps} · {loss}{self._validation} · "
            f"{values['perf/tok_per_sec']:,.0f} tokens/s · {duration(values[TIME_LEFT])} left"
        )
        end = "\n" if not self._terminal or step == self._steps else ""
        print(f"\r\033[K{line}" if self._terminal else line, end=end, file=sys.stderr, flush=True)

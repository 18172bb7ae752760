"""Training metrics: ``metrics.jsonl``, TensorBoard and a progress line, written by rank 0 only."""

import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from core import storage
from core.messages import duration

FILE = "metrics.jsonl"
TENSORBOARD = "tensorboard"
SKIPPED = "train/skipped"
"""Why a step did not change the weights."""
LOG_SECONDS, TERMINAL_SECONDS = 10.0, 0.5
"""Minimum time between progress lines in a log, and between updates of the line on a terminal."""


class MetricsWriter:
    """Writes the metrics of each step to ``metrics.jsonl``, one JSON object per line, and to TensorBoard.

    For a remote folder, both are written to a temporary folder and uploaded by :meth:`publish`.
    """

    def __init__(self, folder: str, step: int) -> None:
        """Continue after ``step``; lines of later steps from an earlier attempt are removed."""
        self._folder = folder
        self._remote = not storage.is_local(folder)
        self._temporary = tempfile.TemporaryDirectory(prefix="gristmill-")
        # Imported here because it takes seconds and only rank 0 needs it.
        from torch.utils.tensorboard import SummaryWriter

        local = Path(self._temporary.name) if self._remote else Path(folder.removeprefix("file://"))
        local.mkdir(parents=True, exist_ok=True)
        self._path = local / FILE
        storage.write_atomic(str(self._path), _lines_through(storage.join(folder, FILE), step))
        self._file = self._path.open("a", encoding="utf-8")
        self._tensorboard_folder = local / TENSORBOARD
        self._tensorboard = SummaryWriter(str(self._tensorboard_folder), purge_step=step + 1)

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Write the metrics of a step, without values that are not finite; only floats go to TensorBoard."""
        values = {
            name: value
            for name, value in values.items()
            if not isinstance(value, float) or math.isfinite(value)
        }
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            if isinstance(value, float):
                self._tensorboard.add_scalar(name, value, step)

    def publish(self) -> None:
        """Flush, and upload all files to a remote folder."""
        self._tensorboard.flush()
        if self._remote:
            storage.upload(str(self._path), storage.join(self._folder, FILE))
            for path in sorted(self._tensorboard_folder.iterdir()):
                storage.upload(str(path), storage.join(self._folder, TENSORBOARD, path.name))

    def close(self) -> None:
        """Close without publishing."""
        self._file.close()
        self._tensorboard.close()
        self._temporary.cleanup()


def _lines_through(path: str, step: int) -> bytes:
    """Return the complete lines of a ``metrics.jsonl`` for steps up to ``step``."""
    lines = storage.read_bytes(path).splitlines(keepends=True) if storage.exists(path) else []
    complete = [line for line in lines if line.endswith(b"\n")]
    return b"".join(line for line in complete if json.loads(line)["step"] <= step)


class ProgressLine:
    """Progress on stderr: step, loss, throughput and estimated time left."""

    def __init__(self, stage: str, first_step: int, steps: int) -> None:
        self._stage, self._first_step, self._steps = stage, first_step, steps
        self._start = self._last_shown = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._validation = ""

    def update(self, step: int, values: dict[str, Any]) -> None:
        """Show a finished step if it is validated, skipped, the last, or enough time has passed."""
        now = time.monotonic()
        if "val/bpb" in values:
            self._validation = f" · val bpb {values['val/bpb']:.3f}"
        due = now - self._last_shown >= (TERMINAL_SECONDS if self._terminal else LOG_SECONDS)
        if not (due or step == self._steps or "val/bpb" in values or SKIPPED in values):
            return
        self._last_shown = now
        left = (now - self._start) / (step - self._first_step + 1) * (self._steps - step)
        loss = f"loss {values['train/loss']:.3f}" if "train/loss" in values else "no targets"
        if SKIPPED in values:
            loss = f"skipped, {values[SKIPPED]}"
        line = (
            f"{self._stage}: step {step}/{self._steps} · {loss}{self._validation} · "
            f"{values['perf/tok_per_sec']:,.0f} tokens/s · {duration(left)} left"
        )
        end = "\n" if not self._terminal or step == self._steps else ""
        print(f"\r\033[K{line}" if self._terminal else line, end=end, file=sys.stderr, flush=True)

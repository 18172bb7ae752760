"""What a run tells: ``metrics.jsonl``, TensorBoard and a line of progress. Only the leading process tells."""

import json
import sys
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from core import storage
from core.messages import duration

FILE = "metrics.jsonl"
TENSORBOARD = "tensorboard"
LINE_SECONDS, TERMINAL_SECONDS = 10.0, 0.5
"""How often progress is told in a log, and on a terminal, where the line is drawn over."""


class Metrics:
    """One JSON object per step in ``metrics.jsonl``, the same numbers in TensorBoard.

    Where the folder is remote, both are written to a temporary folder and copied by :meth:`publish`.
    """

    def __init__(self, folder: str, step: int) -> None:
        """Continue after ``step``: what an earlier attempt told of later steps is cut off."""
        self._folder = folder
        self._remote = not storage.is_local(folder)
        self._temporary = tempfile.TemporaryDirectory(prefix="gristmill-")
        # Imported here, because it takes seconds and only the leading process needs it.
        from torch.utils.tensorboard import SummaryWriter

        place = Path(self._temporary.name) if self._remote else Path(folder.removeprefix("file://"))
        place.mkdir(parents=True, exist_ok=True)
        self._path = place / FILE
        storage.write_atomic(str(self._path), _until(storage.join(folder, FILE), step))
        self._file = self._path.open("a", encoding="utf-8")
        self._boards = place / TENSORBOARD
        self._board = SummaryWriter(str(self._boards), purge_step=step + 1)

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Tell of a step. Numbers go to TensorBoard too."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            if isinstance(value, float):
                self._board.add_scalar(name, value, step)

    def publish(self) -> None:
        """Bring all that was told to where the run lies."""
        self._board.flush()
        if self._remote:
            storage.upload(str(self._path), storage.join(self._folder, FILE))
            for path in sorted(self._boards.iterdir()):
                storage.upload(str(path), storage.join(self._folder, TENSORBOARD, path.name))

    def close(self) -> None:
        """End, without publishing."""
        self._file.close()
        self._board.close()
        self._temporary.cleanup()


def _until(path: str, step: int) -> bytes:
    """The whole lines of a ``metrics.jsonl`` that tell of steps up to ``step``."""
    lines = storage.read_bytes(path).splitlines(keepends=True) if storage.exists(path) else []
    whole = [line for line in lines if line.endswith(b"\n")]
    return b"".join(line for line in whole if json.loads(line)["step"] <= step)


class Progress:
    """A line on stderr: where the run stands, how well, how fast, how long still."""

    def __init__(self, stage: str, first: int, steps: int) -> None:
        self._stage, self._first, self._steps = stage, first, steps
        self._begun = self._told = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._bits = ""

    def tell(self, step: int, values: dict[str, Any]) -> None:
        """Tell of a finished step, if it is time to."""
        now = time.monotonic()
        if "val/bpb" in values:
            self._bits = f" · val bpb {values['val/bpb']:.3f}"
        due = now - self._told >= (TERMINAL_SECONDS if self._terminal else LINE_SECONDS)
        if not (due or step == self._steps or "val/bpb" in values):
            return
        self._told = now
        left = (now - self._begun) / (step - self._first + 1) * (self._steps - step)
        line = (
            f"{self._stage}: step {step}/{self._steps} · loss {values['train/loss']:.3f}{self._bits} · "
            f"{values['perf/tok_per_sec']:,.0f} tokens/s · {duration(left)} left"
        )
        end = "\n" if not self._terminal or step == self._steps else ""
        print(f"\r\033[K{line}" if self._terminal else line, end=end, file=sys.stderr, flush=True)


def peak_flops(device: torch.device) -> float | None:
    """Dense bfloat16 operations per second that the maker states for a device; None if not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    peaks: dict[str, float] = json.loads(resources.files("train").joinpath("devices.json").read_text())
    return next((peak for known, peak in peaks.items() if name.startswith(known)), None)

"""Reporter of a training run, used by rank 0: writes the metrics of each step to files and loggers.

The files are ``metrics.jsonl``, ``samples.jsonl``, ``training.html`` and a profiler's trace; the loggers are
those of :mod:`train.reporting.loggers`. Also shows the progress line.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import torch

from core import storage
from train.reporting import loggers, page
from train.reporting.history import History
from train.reporting.loggers import TensorBoard
from train.reporting.metrics import FILE, MEMORY, TIME_LEFT, ProgressLine, StepLines, finite
from train.reporting.profiling import StepProfiler
from train.samples import FILE as SAMPLES_FILE
from train.samples import SAMPLES
from train.training_run import TrainingRun

TENSORBOARD = "tensorboard"


class Reporter:
    """Records the steps of one run."""

    def __init__(self, run: TrainingRun, device: torch.device, step: int) -> None:
        """Continue after ``step``; what an earlier attempt recorded of later steps is removed."""
        self._run, self._device, self._first_step = run, device, step + 1
        self._start = time.monotonic()
        self._progress = ProgressLine(run.stage, run.config.steps)
        with ExitStack() as stack:
            self._lines = stack.enter_context(closing(StepLines(run.folder, FILE, step)))
            self._samples = stack.enter_context(closing(StepLines(run.folder, SAMPLES_FILE, step)))
            profiler = StepProfiler(run.folder, run.config.profile_steps, run.config.steps)
            self._profiler = stack.enter_context(closing(profiler))
            local = run.folder.removeprefix("file://")
            if not storage.is_local(run.folder):
                local = stack.enter_context(tempfile.TemporaryDirectory(prefix="gristmill-"))
            tensorboard = TensorBoard(Path(local) / TENSORBOARD, run.name, step)
            self._tensorboard = stack.enter_context(closing(tensorboard))
            optional = (loggers.OPTIONAL[name](run) for name in run.config.loggers)
            others = [stack.enter_context(closing(logger)) for logger in optional]
            self._loggers: list[loggers.Logger] = [tensorboard, *others]
            self._stack = stack.pop_all()
        self._history = History.read(self._lines.path, self._samples.path)

    def begin(self, step: int) -> None:
        """Report that a step begins."""
        self._profiler.begin(step)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Record the metrics of a finished step, and the samples if it was validated."""
        self._profiler.end(step)
        rows_before = self._run.batch_sizes.first_position
        done = rows_before(step + 1) - rows_before(self._first_step)
        remaining = rows_before(self._run.config.steps + 1) - rows_before(step + 1)
        left = (time.monotonic() - self._start) / done * remaining
        values = {**finite(values), MEMORY: peak_memory(self._device), TIME_LEFT: left}
        samples = values.pop(SAMPLES, ())
        self._lines.add(step, values)
        numbers = {name: value for name, value in values.items() if isinstance(value, float)}
        for logger in self._loggers:
            logger.write(step, numbers)
        for sample in samples:
            self._samples.add(step, sample._asdict())
        if samples:
            for logger in self._loggers:
                logger.write_samples(step, samples)
            self._history.add_samples(step, samples)
        self._history.add(step, values)
        if any(name.startswith("val/") for name in values):
            page.write(self._run.folder, self._history)
        self._progress.update(step, values)

    def publish(self) -> None:
        """Flush, write the page, and upload all files to a remote folder."""
        self._lines.publish()
        self._samples.publish()
        self._tensorboard.flush()
        if not storage.is_local(self._run.folder):
            self._tensorboard.upload(storage.join(self._run.folder, TENSORBOARD))
        page.write(self._run.folder, self._history)

    def close(self) -> None:
        """Close without publishing."""
        self._stack.close()


def peak_memory(device: torch.device) -> float:
    """Return the largest amount of memory so far in GiB: of tensors on CUDA, elsewhere of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / (1 << 30)
    unit = 1 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / (1 << 30)

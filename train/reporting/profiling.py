"""A trace of some steps by torch.profiler, for chrome://tracing or https://ui.perfetto.dev."""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from core import storage

FOLDER = "profile"


class StepProfiler:
    """Traces the steps from the first to the last one of ``steps``; none if it is empty."""

    def __init__(self, folder: str, steps: Sequence[int], last_step: int) -> None:
        """``last_step``: of the run, where a trace ends in any case."""
        self._folder = folder
        self._steps = range(steps[0], min(steps[1], last_step) + 1) if steps else range(0)
        self._started = 0
        """First step of the trace."""
        self._profile: profile | None = None
        self._stack = ExitStack()

    def begin(self, step: int) -> None:
        """Start the trace before its first step, also where a resumed run begins in the middle."""
        if step in self._steps and not self._profile:
            activities = [ProfilerActivity.CPU]
            if torch.cuda.is_available():
                activities.append(ProfilerActivity.CUDA)
            self._started = step
            self._profile = self._stack.enter_context(profile(activities=activities))

    def end(self, step: int) -> None:
        """Write the trace after its last step."""
        if not self._profile or step + 1 in self._steps:
            return
        self._stack.close()
        name = f"steps-{self._started}-{step}.json.gz"
        with tempfile.TemporaryDirectory(prefix="gristmill-") as temporary:
            path = Path(temporary) / name
            self._profile.export_chrome_trace(str(path))
            storage.upload(str(path), storage.join(self._folder, FOLDER, name))
        self._profile = None

    def close(self) -> None:
        """Stop without a trace."""
        self._stack.close()

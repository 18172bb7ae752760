"""The metrics and samples of a run so far, in a size that does not grow with its steps."""

from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.html.curves import Curve
from train.reporting.metrics import SKIPPED, read_lines
from train.samples import Sample

MAX_VALIDATIONS = 16
"""Validations whose samples are kept; every other one goes once there are more."""
MAX_EVENTS = 50
"""Skipped steps that are kept, the last ones."""

OF_BATCH = ("train/loss", "train/perplexity", "train/bpb", "train/grad_norm")
"""Metrics of a step's own batch."""


class History:
    """Curves of all metrics, their last values, samples, and skipped steps."""

    def __init__(self) -> None:
        self.step = 0
        """Last step."""
        self.curves: dict[str, Curve] = {}
        """Of each metric that is a float, by name; without the losses of skipped steps."""
        self.last: dict[str, Any] = {}
        """Last value of each metric, by name."""
        self.num_skipped = 0
        self.skipped: deque[tuple[int, str]] = deque(maxlen=MAX_EVENTS)
        """The last skipped steps, with the reason."""
        self.samples: list[tuple[int, Sequence[Sample]]] = []
        """Steps and samples of validations."""

    @classmethod
    def read(cls, metrics: str | Path, samples: str | Path) -> "History":
        """Return the history in ``metrics.jsonl`` and ``samples.jsonl``, which may be missing."""
        result = cls()
        for line in read_lines(str(metrics)):
            result.add(line.pop("step"), line)
        by_step: dict[int, list[Sample]] = {}
        for line in read_lines(str(samples)):
            by_step.setdefault(line.pop("step"), []).append(Sample(**line))
        for step, found in by_step.items():
            result.add_samples(step, found)
        return result

    def add(self, step: int, values: Mapping[str, Any]) -> None:
        """Add the metrics of the next step; floats are finite."""
        self.step = step
        self.last |= values
        for name, value in values.items():
            if isinstance(value, float) and not (SKIPPED in values and name.startswith(OF_BATCH)):
                self.curves.setdefault(name, Curve()).add(step, value)
        if SKIPPED in values:
            self.num_skipped += 1
            self.skipped.append((step, values[SKIPPED]))

    def add_samples(self, step: int, samples: Sequence[Sample]) -> None:
        """Add the samples of the next validation."""
        if len(self.samples) == MAX_VALIDATIONS:
            self.samples = self.samples[::2]
        self.samples.append((step, samples))

    def points(self, name: str, smooth: bool = False) -> Sequence[tuple[int, float]]:
        """Return the points of a metric's curve; empty if it has none."""
        curve = self.curves.get(name)
        if curve is None:
            return ()
        return curve.smoothed() if smooth else curve.points

    def sources(self) -> list[str]:
        """Return the names of all sources with a loss."""
        names = {
            name.removeprefix(prefix)
            for name in self.curves
            for prefix in ("train/loss/", "val/loss/")
            if name.startswith(prefix)
        }
        return sorted(names)

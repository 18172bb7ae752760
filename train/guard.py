"""Steps that must not change the weights: a loss or gradient that is not finite, or far above recent ones.

As in OLMo-core's SkipStepAdamW, a step is skipped if its loss or the norm of its gradients exceeds the mean
of the last :data:`WINDOW` steps by a number of standard deviations. Skipped steps count in that window, so
that the band follows values that stay high. The rows of a skipped step are recorded in ``skipped/``.
"""

import json
import math
import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from core import storage
from core.config import TrainConfig
from core.errors import TrainingError
from train.data.dataset import ShardDataset
from train.training_run import SKIPPED_FOLDER, TrainingRun

WINDOW = 128
"""Steps on which the band depends; before that many, only finiteness counts."""
MIN_DEVIATION = 0.01
"""Smallest standard deviation that is assumed, as a share of the mean."""


class Guard:
    """Decides by the losses and gradient norms of all steps so far; equal in all processes."""

    def __init__(self, config: TrainConfig, state: Mapping[str, Any] | None = None) -> None:
        """``state``: from :meth:`state`, as a checkpoint recorded it."""
        self._sigmas, self._max_in_a_row = config.spike_sigmas, config.max_skipped_steps
        found = state or {"recent": {}, "in_a_row": 0}
        self._recent = {name: deque(values, WINDOW) for name, values in found["recent"].items()}
        self._in_a_row = found["in_a_row"]

    def check(self, loss: float, gradient_norm: float) -> str:
        """Return why a step must be skipped; empty if it may change the weights."""
        values = {"loss": loss, "gradient norm": gradient_norm}
        reasons = [self._problem(name, value) for name, value in values.items()]
        for name, value in values.items():
            if math.isfinite(value):
                self._recent.setdefault(name, deque(maxlen=WINDOW)).append(value)
        reason = next(filter(None, reasons), "")
        self._in_a_row = self._in_a_row + 1 if reason else 0
        return reason

    def forget(self) -> None:
        """Begin the band anew, since values vary more or less from now on, as with another batch size."""
        self._recent.clear()

    def require_progress(self, step: int, reason: str) -> None:
        """Raise :class:`TrainingError` if too many steps in a row were skipped, ``step`` for ``reason``."""
        if self._in_a_row > self._max_in_a_row:
            others = f" and {self._in_a_row - 1} before it" if self._in_a_row > 1 else ""
            raise TrainingError(
                f"step {step}{others} cannot change the weights: {reason}; leave out the rows in skipped/ by "
                "train.edits, raise spike_sigmas if it is a spike, or train again with a lower learning_rate "
                "or more warmup_steps"
            )

    def state(self) -> dict[str, Any]:
        """Return what :meth:`check` depends on, as plain JSON."""
        recent = {name: list(values) for name, values in self._recent.items()}
        return {"recent": recent, "in_a_row": self._in_a_row}

    def _problem(self, name: str, value: float) -> str:
        if not math.isfinite(value):
            return f"the {name} is {value}"
        recent: Sequence[float] = self._recent.get(name, ())
        if not self._sigmas or len(recent) < WINDOW:
            return ""
        mean = statistics.fmean(recent)
        deviation = max(statistics.pstdev(recent, mean), MIN_DEVIATION * abs(mean))
        limit = mean + self._sigmas * deviation
        return f"the {name} is {value:.4g}, above {limit:.4g}" if value > limit else ""


def record(run: TrainingRun, step: int, reason: str, rows: Sequence[tuple[int, Sequence[float]]]) -> None:
    """Write ``skipped/step-N.json``: the rows of a step that was skipped, with their documents and losses.

    ``rows``: position in the stream of each, with its nats, targets and bytes.
    """
    located = run.stream.locate(np.array([position for position, _ in rows]))
    of_shards = run.dataset if isinstance(run.dataset, ShardDataset) else None  # examples have no ids
    described = []
    for (position, (nats, targets, _)), source, index in zip(
        rows, located.sources.tolist(), located.indices.tolist(), strict=True
    ):
        name = run.stream.sources[source]
        loss = nats / targets if targets else 0.0
        described.append(
            {
                "position": position,
                "source": name,
                "row": index,
                "targets": round(targets),
                "loss": loss if math.isfinite(loss) else None,
                "documents": of_shards.document_ids("train", name, index) if of_shards else [],
            }
        )
    found = {"step": step, "reason": reason, "rows": described}
    path = storage.join(run.folder, SKIPPED_FOLDER, record_name(step))
    storage.write_atomic(path, json.dumps(found, indent=2).encode() + b"\n")


def remove_records(run: TrainingRun, step: int) -> None:
    """Remove the records of steps after ``step``, which are taken again."""
    folder = storage.join(run.folder, SKIPPED_FOLDER)
    if storage.exists(folder):
        fs, inner = storage.filesystem(folder)
        for name in map(storage.name, fs.ls(inner, detail=False)):
            if name > record_name(step):
                storage.remove(storage.join(folder, name))


def record_name(step: int) -> str:
    """Return the name of a skipped step's record in ``skipped/``."""
    return f"step-{step:08}.json"

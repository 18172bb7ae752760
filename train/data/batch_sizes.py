"""The number of rows of each step, and the positions of the training order that follow from it.

A step consumes the positions after those of the step before it. They are divided among the processes, so
that the world size does not change the batches.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

import numpy as np

from core.config import TrainConfig
from train.data.permutation import Int64Array


class BatchSizes:
    """Rows per step over all processes, which may change from some steps on (batch-size warm-up)."""

    def __init__(self, first: int, later: Iterable[tuple[int, int]] = ()) -> None:
        """``first``: rows of step 1; ``later``: steps from which other numbers apply, in ascending order."""
        self._starts, self._sizes, self._positions = [1], [first], [0]
        for step, size in later:
            self._positions.append(self.first_position(step))
            self._starts.append(step)
            self._sizes.append(size)

    @classmethod
    def of(cls, config: TrainConfig) -> "BatchSizes":
        """Return the batch sizes of a run."""
        later = ((phase.from_step, phase.batch_size) for phase in config.batch_size_schedule)
        return cls(config.batch_size, later)

    def phases(self, steps: range) -> Iterator[tuple[range, int]]:
        """Yield the parts of ``steps`` (ascending by 1) with the same number of rows, and that number."""
        ends = [*self._starts[1:], steps.stop]
        for start, end, size in zip(self._starts, ends, self._sizes, strict=True):
            if part := range(max(start, steps.start), min(end, steps.stop)):
                yield part, size

    def changes_at(self, step: int) -> bool:
        """True if a phase other than the first begins with ``step``."""
        return step in self._starts[1:]

    def size(self, step: int) -> int:
        """Return the number of rows of ``step`` (from 1)."""
        return self._sizes[bisect_right(self._starts, step) - 1]

    def first_position(self, step: int) -> int:
        """Return the position of the first row of ``step``, which is the number of rows before it."""
        phase = bisect_right(self._starts, step) - 1
        return self._positions[phase] + (step - self._starts[phase]) * self._sizes[phase]

    def step(self, position: int) -> int:
        """Return the step that consumes ``position``."""
        phase = bisect_right(self._positions, position) - 1
        return self._starts[phase] + (position - self._positions[phase]) // self._sizes[phase]

    def positions(self, step: int, rank: int = 0, world_size: int = 1) -> Int64Array:
        """Return the positions that process ``rank`` consumes in ``step``, int64 ``[n]``."""
        local_size = self.size(step) // world_size
        first = self.first_position(step) + rank * local_size
        return np.arange(first, first + local_size, dtype=np.int64)

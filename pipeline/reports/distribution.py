"""How a measure is distributed: which columns to draw, and counting into them.

The columns of a histogram are laid so that a threshold falls between two of them: then each lies wholly on
the side that stays or on the side that is dropped.
"""

import bisect
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from core.resources import read_toml
from pipeline.ledger import Bound, satisfies

COLUMNS = 32
"""Columns of a histogram, about."""
MOST_COLUMNS = 64
FEWEST_COUNTED = 8
PER_DECADE = 8
"""Columns from 1 to 10 on a logarithmic scale."""


class Measure(BaseModel):
    """What a measure is, in words, and on which scale it is drawn."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    means: str
    scale: Literal["linear", "counted", "logarithmic"] = "linear"


@cache
def measures() -> dict[str, Measure]:
    """Every measure by name."""
    return {
        name: Measure.model_validate(each)
        for name, each in read_toml("pipeline.reports", "measures.toml").items()
    }


@dataclass(frozen=True, slots=True)
class Limit:
    """A condition on a measure."""

    reason: str
    bound: Bound
    threshold: float

    def fails(self, value: float) -> bool:
        """Whether a record of this value is dropped."""
        return not satisfies(self.bound, value, self.threshold)


@dataclass(frozen=True, slots=True)
class Range:
    """Where a measure's values lie: the ends, and the ends of its middle 99 %."""

    least: float
    low: float
    high: float
    most: float


@dataclass(frozen=True, slots=True)
class Distribution:
    """``counts[i]`` records between ``edges[i]`` and ``edges[i + 1]``; the rest at the ends."""

    metric: str
    edges: Sequence[float]
    counts: Sequence[int]
    measured: int
    """Records that the measure was taken of."""
    zeros: int
    """Those of value 0, where they are left out of ``counts``."""
    most: float
    """The greatest value."""
    limits: Sequence[Limit] = ()

    @property
    def scale(self) -> str:
        """On which scale it is drawn."""
        return measures()[self.metric].scale

    def place(self, value: float) -> float:
        """Where a value lies from 0, the left end, to 1, the right one."""
        if self.scale == "logarithmic":
            low, high, at = math.log(self.edges[0]), math.log(self.edges[-1]), math.log(max(value, 0.1))
        else:
            low, high, at = self.edges[0], self.edges[-1], value
        return min(max((at - low) / (high - low), 0.0), 1.0)

    def line(self, limit: Limit) -> float:
        """The place of a threshold: between the values that stay and those that fail."""
        return self.place(_boundary(limit, self.scale))

    def fails(self, column: int) -> bool:
        """Whether the records of a column are dropped by one of the limits."""
        centre = (self.edges[column] + self.edges[column + 1]) / 2
        return any(limit.fails(centre) for limit in self.limits)

    def ticks(self) -> list[float]:
        """Some four round values along the axis."""
        low, high = self.edges[0], self.edges[-1]
        if self.scale == "logarithmic":
            powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
            return [10.0**power for power in powers]
        step = round_step((high - low) / 4)
        if self.scale == "counted":
            step = max(1.0, math.floor(step))
        return [step * index for index in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]


def edges(metric: str, values: Range, limits: Sequence[Limit] = ()) -> list[float]:
    """The columns that show the middle 99 % of the values and every threshold, strictly ascending."""
    scale = measures()[metric].scale
    thresholds = [limit.threshold for limit in limits]
    low, high = min([values.low, *thresholds]), max([values.high, *thresholds])
    if scale == "logarithmic":
        return _logarithmic(max(low, 1.0), max(high, 10.0), limits)
    if scale == "counted":
        first = math.floor(low)
        columns = min(max(math.ceil(high) - first, FEWEST_COUNTED), COLUMNS)
        return [first + index - 0.5 for index in range(columns + 3)]
    return _linear(low, high, thresholds)


def _linear(low: float, high: float, thresholds: Sequence[float]) -> list[float]:
    """From 0 where that is near, with the first threshold on an edge and room on either side of all."""
    width = (high - low) / COLUMNS or max(abs(high), 1.0) / COLUMNS
    start = 0.0 if 0 <= low <= (high - low) / 2 else math.floor(low / width) * width
    width = (high - start) / COLUMNS or width
    if thresholds:
        start -= width * (min(thresholds) <= start)
        before = max(1, round((thresholds[0] - start) / width))
        width = (thresholds[0] - start) / before
    columns = math.ceil(min((high - start) / width, MOST_COLUMNS) - 1e-9) + 2 * bool(thresholds)
    found = [start + index * width for index in range(max(1, columns) + 1)]
    if thresholds:
        found[before] = thresholds[0]  # exactly
    return found


def _logarithmic(low: float, high: float, limits: Sequence[Limit]) -> list[float]:
    """Edges between whole numbers, the nearest ones moved to the thresholds."""
    powers = range(math.floor(math.log10(low) * PER_DECADE), math.ceil(math.log10(high) * PER_DECADE) + 2)
    found = sorted({math.floor(10 ** (power / PER_DECADE)) + 0.5 for power in powers} | {0.5})
    for limit in limits:
        boundary = _boundary(limit, "logarithmic")
        nearest = min(bisect.bisect_left(found, boundary), len(found) - 1)
        found[nearest] = boundary
    return sorted(set(found))


def _boundary(limit: Limit, scale: str) -> float:
    """What separates the values that stay from those that fail: for whole numbers, the middle between two."""
    if scale == "linear":
        return limit.threshold
    return limit.threshold + (0.5 if limit.bound == "at most" else -0.5)


def round_step(step: float) -> float:
    """The nearest of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return min((1 * power, 2 * power, 5 * power, 10 * power), key=lambda nice: abs(nice - step))


COUNTED = pa.schema([("name", pa.string()), ("column", pa.int32()), ("records", pa.int64())])
"""What is counted: of a measure its columns, its zeros (column −1) and all (−2); of a reason those that fail
(−3)."""
ZEROS, ALL, FAILING = -1, -2, -3


def count(
    batches: Iterable[pa.RecordBatch],
    columns: Mapping[str, Sequence[float]],
    limits: Mapping[str, Sequence[Limit]],
) -> Iterator[pa.RecordBatch]:
    """Count batches that have a column for each measure; one batch of sums."""
    sums: dict[tuple[str, int], int] = {}

    def add(name: str, column: int, records: int) -> None:
        sums[name, column] = sums.get((name, column), 0) + int(records)

    for batch in batches:
        for metric, ends in columns.items():
            values = batch.column(metric).drop_null().to_numpy(zero_copy_only=False)
            drawn = values[values != 0]
            # A value on an edge belongs to the side of the threshold that it is on.
            upper = any(limit.bound == "at most" for limit in limits[metric])
            at = np.searchsorted(ends, drawn, "left" if upper else "right") - 1
            counts = np.bincount(at.clip(0, len(ends) - 2), minlength=len(ends) - 1)
            for column in np.flatnonzero(counts).tolist():
                add(metric, column, counts[column])
            add(metric, ZEROS, len(values) - len(drawn))
            add(metric, ALL, len(values))
            for limit in limits[metric]:
                add(limit.reason, FAILING, _failing(values, limit))
    rows = [{"name": name, "column": column, "records": records} for (name, column), records in sums.items()]
    yield pa.RecordBatch.from_pylist(rows, schema=COUNTED)


def _failing(values: npt.NDArray[np.float64], limit: Limit) -> int:
    failing = values < limit.threshold if limit.bound == "at least" else values > limit.threshold
    return int(failing.sum())


def distribution(
    metric: str,
    ends: Sequence[float],
    sums: Mapping[tuple[str, int], int],
    most: float,
    limits: Sequence[Limit] = (),
) -> Distribution:
    """Put together what :func:`count` counted.

    Zeros are left out of the drawing where they are more than half, so that the others can be seen, unless
    they fail.
    """
    counts = [sums.get((metric, column), 0) for column in range(len(ends) - 1)]
    zeros, measured = sums.get((metric, ZEROS), 0), sums.get((metric, ALL), 0)
    if 2 * zeros <= measured or any(limit.fails(0) for limit in limits):
        place = bisect.bisect_right(ends, 0) - 1
        counts[min(max(place, 0), len(counts) - 1)] += zeros
        zeros = 0
    return Distribution(metric, ends, counts, measured, zeros, most, limits)

"""Histograms of metrics: choose bin edges, count values into bins, assemble the result.

Every threshold that separates values is a bin edge, so that each bin is entirely on the side that is kept or
on the side that is dropped. Bins are half-open, ``[edges[i], edges[i + 1])``; values beyond the ends are
counted in the first or the last bin.
"""

import bisect
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from core.html.formats import round_step
from core.resources import read_toml
from pipeline.ledger import Bound, satisfies

BINS = 32
"""Approximate number of bins of a histogram."""
MAX_LINEAR_BINS = 64
MIN_INTEGER_BINS = 8
MIN_BIN_WIDTH = 1e-300
"""Smallest width on a linear scale; quarters and tenths of it are still normal floats."""
BINS_PER_DECADE = 8
"""Bins from 1 to 10 on a logarithmic scale."""

Scale = Literal["linear", "integer", "logarithmic"]


class MetricInfo(BaseModel):
    """Description of a metric, and the scale on which it is drawn."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    description: str
    scale: Scale = "linear"


@cache
def metrics() -> dict[str, MetricInfo]:
    """Every metric by name."""
    return {
        name: MetricInfo.model_validate(each)
        for name, each in read_toml("pipeline.reports", "metrics.toml").items()
    }


@dataclass(frozen=True, slots=True)
class Limit:
    """A condition on a metric."""

    reason: str
    bound: Bound
    threshold: float

    def fails(self, value: float) -> bool:
        """True if a record with this value is dropped."""
        return not satisfies(self.bound, value, self.threshold)

    def boundary(self, scale: Scale) -> float:
        """Return the point that separates values: those below it are on one side, all others on the other.

        Between integers it is half-way, so that it does not coincide with a value.
        """
        at_least = self.bound == "at least"
        if not math.isfinite(self.threshold):
            return self.threshold
        if scale == "linear":
            return self.threshold if at_least else math.nextafter(self.threshold, math.inf)
        return math.ceil(self.threshold) - 0.5 if at_least else math.floor(self.threshold) + 0.5


@dataclass(frozen=True, slots=True)
class Range:
    """Extremes of a metric's values, and the ends of the middle 99 %."""

    minimum: float
    low: float
    high: float
    maximum: float


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram: ``counts[i]`` records in the bin from ``edges[i]`` to ``edges[i + 1]``."""

    metric: str
    edges: Sequence[float]
    counts: Sequence[int]
    measured: int
    """Records that have a value."""
    zeros: int
    """Records with value 0 that are left out of ``counts``."""
    maximum: float
    limits: Sequence[Limit] = ()

    @property
    def scale(self) -> Scale:
        """Scale on which the metric is drawn."""
        return metrics()[self.metric].scale

    def position(self, value: float) -> float:
        """Return the position of a value on the axis, from 0 (left end) to 1 (right end)."""
        if self.scale == "logarithmic":
            low, high, at = math.log(self.edges[0]), math.log(self.edges[-1]), math.log(max(value, 0.1))
        else:
            low, high, at = self.edges[0], self.edges[-1], value
        return min(max((at - low) / (high - low), 0.0), 1.0)

    def limit_position(self, limit: Limit) -> float:
        """Return the position of the line between values that satisfy a limit and values that fail it."""
        return self.position(limit.boundary(self.scale))

    def fails(self, index: int) -> bool:
        """True if records in a bin fail one of the limits."""
        lower = self.edges[index]
        return any(
            (lower < limit.boundary(self.scale)) == (limit.bound == "at least") for limit in self.limits
        )

    def ticks(self) -> list[float]:
        """Return about four round values along the axis."""
        low, high = self.edges[0], self.edges[-1]
        if self.scale == "logarithmic":
            powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
            return [10.0**power for power in powers]
        step = round_step((high - low) / 4)
        if self.scale == "integer":
            step = max(1.0, math.floor(step))
        return [step * index for index in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]


def bin_edges(metric: str, values: Range, limits: Sequence[Limit] = ()) -> list[float]:
    """Choose bins for the middle 99 % of the values and every threshold: strictly ascending edges."""
    scale = metrics()[metric].scale
    limits = [limit for limit in limits if math.isfinite(limit.threshold)]
    boundaries = [limit.boundary(scale) for limit in limits]
    thresholds = [limit.threshold for limit in limits]
    low, high = min([values.low, *thresholds]), max([values.high, *thresholds])
    if scale == "logarithmic":
        edges = _logarithmic_edges(max(low, 1.0), max(high, 10.0))
    elif scale == "integer":
        edges = _integer_edges(low, high)
    else:
        edges = _linear_edges(low, high, boundaries)
    for boundary in sorted(set(boundaries)):
        _insert(edges, boundary, values, set(boundaries), scale)
    return edges


def _integer_edges(low: float, high: float) -> list[float]:
    """One bin per integer, from the lowest up to at most :data:`BINS`, and some more."""
    first = math.floor(low)
    bins = min(max(math.ceil(high) - first, MIN_INTEGER_BINS), BINS)
    return [first + index - 0.5 for index in range(bins + 3)]


def _logarithmic_edges(low: float, high: float) -> list[float]:
    """Edges between integers, evenly spaced on a logarithmic scale."""
    powers = range(
        math.floor(math.log10(low) * BINS_PER_DECADE), math.ceil(math.log10(high) * BINS_PER_DECADE) + 2
    )
    return sorted({math.floor(10 ** (power / BINS_PER_DECADE)) + 0.5 for power in powers} | {0.5})


def _linear_edges(low: float, high: float, boundaries: Sequence[float]) -> list[float]:
    """Bins of equal width, from 0 if that is near, with the first boundary on an edge."""
    width = (high - low) / BINS
    if width < max(8 * math.ulp(high), MIN_BIN_WIDTH):
        width = max(abs(high), 1.0) / BINS  # all values are the same, for what can be drawn
    start = 0.0 if 0 <= low <= (high - low) / 2 else math.floor(low / width) * width
    width = max((high - start) / BINS, width)
    if not boundaries:
        bins = max(1, math.ceil((high - start) / width - 1e-9))
        return [start + index * width for index in range(bins + 1)]
    start -= width * (min(boundaries) <= start + 1e-6 * width)
    below = max(1, round((boundaries[0] - start) / width))
    width = (boundaries[0] - start) / below
    bins = max(1, math.ceil(min((high - start) / width, MAX_LINEAR_BINS) - 1e-9)) + 2
    edges = [start + index * width for index in range(bins + 1)]
    edges[below] = boundaries[0]  # exactly
    return sorted(set(edges))


def _insert(edges: list[float], boundary: float, values: Range, boundaries: set[float], scale: Scale) -> None:
    """Make a boundary an edge with a bin on either side, unless all values are on one side anyway.

    The next edge above it is moved to it, unless that is an end or another boundary.
    """
    if boundary <= edges[0]:
        if values.minimum < boundary:
            end = boundary / 2 if scale == "logarithmic" else boundary - (edges[1] - edges[0])
            edges[:0] = [min(end, math.nextafter(boundary, -math.inf))] + [boundary] * (boundary < edges[0])
    elif boundary >= edges[-1]:
        if values.maximum >= boundary:
            end = boundary + (edges[-1] - edges[-2])
            edges += [boundary] * (boundary > edges[-1]) + [max(end, math.nextafter(boundary, math.inf))]
    else:
        index = bisect.bisect_left(edges, boundary)
        if index < len(edges) - 1 and edges[index] not in boundaries:
            edges[index] = boundary
        elif edges[index] != boundary:
            edges.insert(index, boundary)


COUNTS = pa.schema([("name", pa.string()), ("bin", pa.int32()), ("records", pa.int64())])
"""Rows of :func:`count_values`. Of a metric: its bins, its zeros (bin −1) and all its values (−2). Of a
reason: values that fail it (−3)."""
ZEROS, ALL, FAILING = -1, -2, -3


def count_values(
    batches: Iterable[pa.RecordBatch],
    edges: Mapping[str, Sequence[float]],
    limits: Mapping[str, Sequence[Limit]],
) -> Iterator[pa.RecordBatch]:
    """Count the values of each metric in ``edges``, a column of every batch. Yields one batch of ``COUNTS``.

    Zeros are counted apart from the bins.
    """
    counts: Counter[tuple[str, int]] = Counter()
    for batch in batches:
        for metric, of_metric in edges.items():
            values = batch.column(metric).drop_null().to_numpy(zero_copy_only=False)
            nonzero = values[values != 0]
            bins = np.searchsorted(of_metric, nonzero, "right") - 1
            filled, records = np.unique(bins.clip(0, len(of_metric) - 2), return_counts=True)
            for index, number in zip(filled.tolist(), records.tolist(), strict=True):
                counts[metric, index] += number
            counts[metric, ZEROS] += len(values) - len(nonzero)
            counts[metric, ALL] += len(values)
            for limit in limits[metric]:
                satisfied = satisfies(limit.bound, values, limit.threshold)
                counts[limit.reason, FAILING] += len(values) - int(np.count_nonzero(satisfied))
    rows = [{"name": name, "bin": index, "records": records} for (name, index), records in counts.items()]
    yield pa.RecordBatch.from_pylist(rows, schema=COUNTS)


def distribution(
    metric: str,
    edges: Sequence[float],
    sums: Mapping[tuple[str, int], int],
    maximum: float,
    limits: Sequence[Limit] = (),
) -> Distribution:
    """Assemble a histogram from the summed counts of :func:`count_values`.

    If more than half of the values are 0, they are left out so that the others are visible, unless they fail
    a limit.
    """
    counts = [sums.get((metric, index), 0) for index in range(len(edges) - 1)]
    zeros, measured = sums.get((metric, ZEROS), 0), sums.get((metric, ALL), 0)
    if 2 * zeros <= measured or any(limit.fails(0) for limit in limits):
        index = bisect.bisect_right(edges, 0) - 1
        counts[min(max(index, 0), len(counts) - 1)] += zeros
        zeros = 0
    return Distribution(metric, edges, counts, measured, zeros, maximum, limits)

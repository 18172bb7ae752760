"""A measured value and how far it can be trusted: standard errors and 95 % intervals."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Z = 1.959963984540054
"""Standard deviations within which a normal variable stays 95 % of the time."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured value over ``n`` items."""

    name: str
    value: float
    n: int
    standard_error: float | None
    """None where one item alone gives no idea of it."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    method: str
    """How the value and its interval were computed."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Resampling items with replacement (Efron 1979); the same seed gives the same interval."""

    resamples: int
    seed: int

    @property
    def label(self) -> str:
        """What stands in a metric's method."""
        return f"95 % percentile bootstrap over items, {self.resamples} resamples, seed {self.seed}"

    def metric(
        self, name: str, columns: Sequence[Sequence[float]], value: Callable[..., Any], method: str = ""
    ) -> Metric:
        """``value(*columns)`` with an interval; ``columns`` are float lists [n] of what each item gives."""
        arrays = [np.asarray(column, np.float64) for column in columns]
        count = len(arrays[0])
        whole = float(value(*arrays))
        if count < 2:
            return Metric(name, whole, count, None, whole, whole, _said(method, "one item: no interval"))
        rng = np.random.default_rng(self.seed)
        drawn = np.empty(self.resamples)
        for turn in range(self.resamples):
            chosen = rng.integers(0, count, count)
            drawn[turn] = value(*(array[chosen] for array in arrays))
        low, high = np.percentile(drawn, [2.5, 97.5])
        return Metric(
            name, whole, count, float(drawn.std(ddof=1)), float(low), float(high), _said(method, self.label)
        )


def mean(name: str, values: Sequence[float], method: str = "") -> Metric:
    """The mean of one number per item, with the normal interval."""
    array = np.asarray(values, np.float64)
    center = float(array.mean())
    said = _said(method, "mean over items, 95 % normal interval")
    if len(array) < 2:
        return Metric(name, center, len(array), None, center, center, said)
    error = float(array.std(ddof=1)) / math.sqrt(len(array))
    return Metric(name, center, len(array), error, center - Z * error, center + Z * error, said)


def share(name: str, hits: Sequence[bool], method: str = "") -> Metric:
    """The share of items that are True, with Wilson's interval (1927), which never leaves 0 to 1."""
    count = len(hits)
    part = sum(hits) / count
    error = math.sqrt(part * (1 - part) / count)
    middle = (part + Z * Z / (2 * count)) / (1 + Z * Z / count)
    half = Z / (1 + Z * Z / count) * math.sqrt(part * (1 - part) / count + Z * Z / (4 * count * count))
    said = _said(method, "share of items, 95 % Wilson interval")
    # Rounding may put an end a hair beyond the value when that is 0 or 1.
    return Metric(name, part, count, error, min(middle - half, part), max(middle + half, part), said)


def ratio(numerators: Floats, denominators: Floats) -> float:
    """Sum over sum."""
    return float(numerators.sum() / denominators.sum())


def _said(*parts: str) -> str:
    return "; ".join(filter(None, parts))

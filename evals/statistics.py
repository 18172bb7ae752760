"""Metrics with standard errors and 95 % confidence intervals."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Z = 1.959963984540054
"""Quantile 0.975 of the standard normal distribution."""
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Metric:
    """A value measured over ``n`` items. ``results.json`` contains these fields."""

    name: str
    value: float
    n: int
    standard_error: float | None
    """None for a single item."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    method: str
    """How the value and its interval were computed."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Percentile bootstrap over items (Efron 1979). The same seed gives the same interval."""

    resamples: int
    seed: int

    @property
    def method(self) -> str:
        """Description for :attr:`Metric.method`."""
        return f"95 % percentile bootstrap over items, {self.resamples} resamples, seed {self.seed}"

    def metric(
        self, name: str, columns: Sequence[Sequence[float]], statistic: Callable[..., Any], method: str = ""
    ) -> Metric:
        """Return ``statistic(*columns)`` with its interval.

        Each column holds one float per item; ``statistic`` receives float64 arrays [n].
        """
        arrays = [np.asarray(column, np.float64) for column in columns]
        count = len(arrays[0])
        value = float(statistic(*arrays))
        if count < 2:
            return Metric(name, value, count, None, value, value, _join(method, "one item: no interval"))
        rng = np.random.default_rng(self.seed)
        resampled = np.empty(self.resamples)
        for index in range(self.resamples):
            chosen = rng.integers(0, count, count)
            resampled[index] = statistic(*(array[chosen] for array in arrays))
        low, high = map(float, np.percentile(resampled, [2.5, 97.5]))
        error = float(resampled.std(ddof=1))
        return Metric(name, value, count, error, low, high, _join(method, self.method))


def mean(name: str, values: Sequence[float], method: str = "") -> Metric:
    """Return the mean of one number per item, with the normal interval."""
    array = np.asarray(values, np.float64)
    value = float(array.mean())
    method = _join(method, "mean over items, 95 % normal interval")
    if len(array) < 2:
        return Metric(name, value, len(array), None, value, value, method)
    error = float(array.std(ddof=1)) / math.sqrt(len(array))
    return Metric(name, value, len(array), error, value - Z * error, value + Z * error, method)


def proportion(name: str, hits: Sequence[bool], method: str = "") -> Metric:
    """Return the proportion of items that are True, with the Wilson interval (1927), within 0 to 1."""
    count = len(hits)
    value = sum(hits) / count
    error = math.sqrt(value * (1 - value) / count)
    center = (value + Z * Z / (2 * count)) / (1 + Z * Z / count)
    half = Z / (1 + Z * Z / count) * math.sqrt(value * (1 - value) / count + Z * Z / (4 * count * count))
    method = _join(method, "proportion of items, 95 % Wilson interval")
    # At 0 and 1, rounding may exclude the value itself.
    return Metric(name, value, count, error, min(center - half, value), max(center + half, value), method)


def ratio(numerators: FloatArray, denominators: FloatArray) -> float:
    """Return the sum of the numerators over the sum of the denominators."""
    return float(numerators.sum() / denominators.sum())


def _join(*parts: str) -> str:
    return "; ".join(filter(None, parts))

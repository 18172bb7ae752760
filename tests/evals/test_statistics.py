"""Metrics and their confidence intervals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.statistics import Bootstrap, mean, proportion, ratio


def test_mean_has_standard_error_and_interval() -> None:
    metric = mean("m", [1.0, 2.0, 3.0, 4.0])
    assert (metric.value, metric.n) == (2.5, 4)
    assert metric.standard_error == pytest.approx(math.sqrt(5 / 3 / 4))
    assert metric.high - metric.value == pytest.approx(1.96 * metric.standard_error, rel=1e-3)
    assert mean("m", [2.0]).standard_error is None


def test_wilson_interval_of_worked_example() -> None:
    """1 of 10 gives 0.0179 to 0.4042."""
    metric = proportion("p", [True] + [False] * 9)
    assert (round(metric.low, 4), round(metric.high, 4)) == (0.0179, 0.4042)


@given(st.lists(st.booleans(), min_size=1, max_size=50))
def test_wilson_interval_contains_value_and_stays_within_bounds(hits: list[bool]) -> None:
    metric = proportion("p", hits)
    assert -1e-12 <= metric.low <= metric.value <= metric.high <= 1 + 1e-12


def test_bootstrap_error_of_mean_equals_its_standard_error() -> None:
    values = np.random.default_rng(3).normal(size=400).tolist()
    metric = Bootstrap(2000, 1).metric("m", [values, [1.0] * 400], ratio)
    expected = mean("m", values)
    assert metric.value == pytest.approx(expected.value)
    assert metric.standard_error == pytest.approx(expected.standard_error, rel=0.1)
    assert metric == Bootstrap(2000, 1).metric("m", [values, [1.0] * 400], ratio)
    assert metric.low != Bootstrap(2000, 2).metric("m", [values, [1.0] * 400], ratio).low


def test_single_item_has_no_interval() -> None:
    metric = Bootstrap(10, 1).metric("m", [[3.0], [2.0]], ratio, "sum over sum")
    assert (metric.value, metric.standard_error, metric.low) == (1.5, None, 1.5)
    assert metric.method == "sum over sum; one item: no interval"

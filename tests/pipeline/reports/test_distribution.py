"""Histograms: every threshold is a bin edge, and counting loses no record."""

from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline import document
from pipeline.ledger import RULES
from pipeline.reports.distribution import (
    ALL,
    FAILING,
    MAX_LINEAR_BINS,
    ZEROS,
    Limit,
    Range,
    bin_edges,
    count_values,
    distribution,
    metrics,
)

SHARE, WORDS, BRACKETS = "gopher_top_4_gram", "gopher_words", "c4_curly_brackets"
BOUNDS = st.sampled_from(["at least", "at most"])
POSITIVE = st.floats(0, 1e6)
INTEGERS = st.integers(0, 30) | st.integers(0, 100_000)
AT_LEAST_ONE, AT_MOST_ZERO = ("at least", 1.0), ("at most", 0.0)


def _range(values, outliers=0):
    """The middle of the values leaves out some at either end, as quantiles do."""
    ordered = sorted(values)
    outliers = min(outliers, (len(ordered) - 1) // 2)
    return Range(ordered[0], ordered[outliers], ordered[-1 - outliers], ordered[-1])


def _counted(metric, values, limits=(), outliers=0):
    limits = list(limits)
    edges = bin_edges(metric, _range(values, outliers), limits)
    batches = [
        pa.RecordBatch.from_pydict({metric: pa.array(part, pa.float64())}) for part in (values, [None])
    ]
    (found,) = count_values(batches, {metric: edges}, {metric: limits})
    return edges, {(row["name"], row["bin"]): row["records"] for row in found.to_pylist()}


def _check_failing(metric, values, conditions, outliers):
    """Compare failing values by the histogram, by the counts and by the rule."""
    limits = [Limit(f"reason {number}", *condition) for number, condition in enumerate(conditions)]
    edges, sums = _counted(metric, values, limits, outliers)
    assert all(lower < upper for lower, upper in pairwise(edges))
    of = distribution(metric, edges, sums, max(values), limits)
    assert sum(of.counts) + of.zeros == of.measured == len(values)
    failing = sum(count for index, count in enumerate(of.counts) if of.fails(index))
    assert failing == sum(any(limit.fails(value) for limit in limits) for value in values)
    for limit in limits:
        assert sums[limit.reason, FAILING] == sum(map(limit.fails, values))
        assert 0 <= of.limit_position(limit) <= 1
    assert of.ticks() or len(edges) > 1


def test_every_metric_is_described():
    assert set(metrics()) >= {*document.METRICS, "language_score", *(metric for metric, _ in RULES.values())}


@pytest.mark.parametrize("metric", [SHARE, WORDS, BRACKETS])
@given(st.lists(POSITIVE, min_size=2, max_size=2), st.none() | POSITIVE, BOUNDS)
def test_edges_ascend_and_are_few(metric, ends, threshold, bound):
    limits = [] if threshold is None else [Limit("a", bound, threshold)]
    found = bin_edges(metric, _range(ends), limits)
    assert all(lower < upper for lower, upper in pairwise(found))
    assert 2 <= len(found) <= MAX_LINEAR_BINS + 40


@given(
    st.lists(st.floats(0, 1) | st.sampled_from([0.1, 0.16, 0.5]), min_size=1),
    st.lists(st.tuples(BOUNDS, st.floats(0, 1) | st.sampled_from([0.1, 0.16, 0.5, 2.0])), max_size=3),
    st.integers(0, 3),
)
@example([0.0, 0.3], [AT_MOST_ZERO], 0)
@example([0.5], [("at least", 0.5)], 0)
@example([0.5], [("at most", 0.5)], 0)
@example([3.0, 10.0, 5.0, 2.0, 11.0], [("at least", 3.0), ("at most", 10.0)], 0)  # either end is kept
@example([0.2, 0.3, 0.4], [("at least", 0.3), ("at most", 0.3)], 0)
@example([0.1, 0.9, 1.0, 0.5, 0.5, 0.5], [("at most", 0.9), ("at most", 0.5)], 2)
@example([0.0, 5e-324], [("at least", 5e-324)], 0)  # differences that are subnormal
def test_failing_shares_by_histogram_equal_those_by_rule(values, conditions, outliers):
    _check_failing(SHARE, values, conditions, outliers)


@pytest.mark.parametrize("metric", [WORDS, BRACKETS])
@given(
    st.lists(INTEGERS.map(float), min_size=1),
    st.lists(st.tuples(BOUNDS, INTEGERS.map(float) | st.floats(0, 40)), max_size=3),
    st.integers(0, 3),
)
@example([0.0], [AT_LEAST_ONE], 0)  # the bin from 0.5 to 1.5 is kept, and 0 is below it
@example([0.0, 1.0], [AT_LEAST_ONE, AT_MOST_ZERO], 0)
@example([0.0, 5.0], [("at least", 0.0)], 0)
@example([0.0, 1.0], [("at most", 0.0)], 0)
@example([0.0, 0.0, 0.0, 1.0], [("at most", 0.0)], 0)
@example([2.0, 3.0], [("at least", 2.5)], 0)
@example([2.0, 3.0], [("at most", 2.5)], 0)
@example([0.0, 34.0, 50.0, 70.0], [("at most", 60.0)], 0)  # beyond the last bin of an integer
@example([1.0, 5.0, 5.0, 5.0, 9.0], [("at least", 5.0)], 1)  # below the middle of the values
@example([2.0, 3.0, 4.0, 5.0], [("at least", 3.0), ("at most", 4.0)], 0)
def test_failing_integers_by_histogram_equal_those_by_rule(metric, values, conditions, outliers):
    _check_failing(metric, values, conditions, outliers)


@pytest.mark.parametrize("metric", [SHARE, WORDS, BRACKETS])
@pytest.mark.parametrize("threshold", [float("inf"), -1.0, 1e12])
@pytest.mark.parametrize("bound", ["at least", "at most"])
def test_thresholds_far_from_all_values(metric, bound, threshold):
    _check_failing(metric, [0.0, 1.0, 7.0], [(bound, threshold)], 0)


def test_frequent_zeros_are_left_out_unless_they_fail():
    values = [0.0, 0.0, 0.0, 0.5]
    edges, sums = _counted(SHARE, values)
    assert (sums[SHARE, ZEROS], sums[SHARE, ALL]) == (3, 4)
    assert sum(distribution(SHARE, edges, sums, 0.5).counts) == 1
    assert sum(distribution(SHARE, edges, sums, 0.5, [Limit("a", "at least", 0.1)]).counts) == 4


def test_missing_values_are_not_counted():
    _, sums = _counted(SHARE, [0.5])
    assert sums[SHARE, ALL] == 1


def test_no_batches_give_no_counts():
    (found,) = count_values([], {SHARE: [0.0, 1.0]}, {SHARE: []})
    assert found.num_rows == 0
    of = distribution(SHARE, [0.0, 1.0], {}, 0.0)
    assert (list(of.counts), of.measured, of.zeros) == ([0], 0, 0)


@pytest.mark.parametrize(
    ("metric", "values", "ticks"),
    [
        (SHARE, [0.0, 0.4], [0, 0.1, 0.2, 0.3, 0.4]),
        (WORDS, [3.0, 20_000.0], [1, 10, 100, 1000, 10_000]),
        (BRACKETS, [0.0, 8.0], [0, 2, 4, 6, 8]),
    ],
)
def test_ticks_are_round(metric, values, ticks):
    edges, sums = _counted(metric, values)
    found = distribution(metric, edges, sums, values[-1]).ticks()
    assert found == pytest.approx(ticks)

"""Columns that show what is there, with every threshold between two of them; counting loses nothing."""

from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import document
from pipeline.ledger import RULES
from pipeline.reports.distribution import (
    ALL,
    FAILING,
    MOST_COLUMNS,
    ZEROS,
    Limit,
    Range,
    count,
    distribution,
    edges,
    measures,
    round_step,
)

SHARE, WORDS, BRACKETS = "gopher_top_4_gram", "gopher_words", "c4_curly_brackets"
DEMANDS = st.sampled_from(["at least", "at most"])
POSITIVE = st.floats(0, 1e6)


def _range(values: list[float]) -> Range:
    ordered = sorted(values)
    return Range(ordered[0], ordered[0], ordered[-1], ordered[-1])


def _counted(metric, values, limits=()):
    limits = list(limits)
    ends = edges(metric, _range(values), limits)
    batches = [
        pa.RecordBatch.from_pydict({metric: pa.array(part, pa.float64())}) for part in (values, [None])
    ]
    (found,) = count(batches, {metric: ends}, {metric: limits})
    return ends, {(row["name"], row["column"]): row["records"] for row in found.to_pylist()}


def test_every_measure_is_described():
    assert set(measures()) >= {*document.METRICS, "language_score", *(metric for metric, _ in RULES.values())}


@pytest.mark.parametrize("metric", [SHARE, WORDS, BRACKETS])
@given(st.lists(POSITIVE, min_size=2, max_size=2), st.none() | POSITIVE, DEMANDS)
def test_edges_ascend_and_are_few(metric, ends, threshold, bound):
    limits = [] if threshold is None else [Limit("a", bound, threshold)]
    found = edges(metric, _range(ends), limits)
    assert all(before < after for before, after in pairwise(found))
    assert 2 <= len(found) <= MOST_COLUMNS + 40


@given(st.lists(st.floats(0, 1), min_size=1), st.floats(0.001, 1), DEMANDS)
def test_the_columns_of_a_share_hold_all_that_fail_and_only_them(values, threshold, bound):
    limit = Limit("a", bound, threshold)
    ends, sums = _counted(SHARE, values, [limit])
    of = distribution(SHARE, ends, sums, max(values), [limit])
    assert sum(of.counts) + of.zeros == of.measured == len(values)
    failing = sum(of.counts[column] for column in range(len(of.counts)) if of.fails(column))
    assert failing == sums["a", FAILING] == sum(map(limit.fails, values))


@pytest.mark.parametrize("metric", [WORDS, BRACKETS])
@given(st.lists(st.integers(0, 30), min_size=1), st.integers(0, 30), DEMANDS)
def test_so_do_those_of_whole_numbers(metric, values, threshold, bound):
    limit = Limit("a", bound, threshold)
    ends, sums = _counted(metric, [float(value) for value in values], [limit])
    of = distribution(metric, ends, sums, max(values), [limit])
    failing = sum(of.counts[column] for column in range(len(of.counts)) if of.fails(column))
    assert failing == sums["a", FAILING] == sum(map(limit.fails, values))


def test_zeros_that_are_most_are_left_out_unless_they_fail():
    values = [0.0, 0.0, 0.0, 0.5]
    ends, sums = _counted(SHARE, values)
    assert (sums[SHARE, ZEROS], sums[SHARE, ALL]) == (3, 4)
    assert sum(distribution(SHARE, ends, sums, 0.5).counts) == 1
    assert sum(distribution(SHARE, ends, sums, 0.5, [Limit("a", "at least", 0.1)]).counts) == 4


def test_what_was_not_measured_is_not_counted():
    _, sums = _counted(SHARE, [0.5])
    assert sums[SHARE, ALL] == 1


@pytest.mark.parametrize(
    ("metric", "values", "ticks"),
    [
        (SHARE, [0.0, 0.4], [0, 0.1, 0.2, 0.3, 0.4]),
        (WORDS, [3.0, 20_000.0], [1, 10, 100, 1000, 10_000]),
        (BRACKETS, [0.0, 8.0], [0, 2, 4, 6, 8]),
    ],
)
def test_ticks_are_round(metric, values, ticks):
    ends, sums = _counted(metric, values)
    found = distribution(metric, ends, sums, values[-1]).ticks()
    assert found == pytest.approx(ticks)


@given(st.floats(1e-9, 1e9))
def test_steps_are_one_two_or_five(step):
    assert f"{round_step(step):e}"[0] in "125"
    assert round_step(step) / step == pytest.approx(1, abs=0.51)

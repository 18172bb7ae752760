"""Curves of bounded size, and their charts."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.html.curves import MAX_POINTS, Curve, Series, chart

VALUES = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=50)


def test_few_values_are_kept_as_they_are():
    points = [(step, float(step**2)) for step in range(1, MAX_POINTS)]
    assert Curve(points).points == points


@pytest.mark.parametrize("count", [MAX_POINTS, 1000, 12_345])
def test_many_values_become_means(count):
    curve = Curve((step, 2.0 * step) for step in range(1, count + 1))
    assert MAX_POINTS // 2 <= len(curve.points) <= MAX_POINTS
    assert curve.points[-1][0] == count
    (first, mean), (second, next_mean) = curve.points[:2]
    assert second == 2 * first
    assert mean == pytest.approx(first + 1)  # of 2, 4, … 2·first
    assert next_mean == pytest.approx(3 * first + 1)


def test_smoothing_follows_a_constant_and_dampens_noise():
    constant = Curve((step, 3.0) for step in range(1, 200)).smoothed()
    assert [value for _, value in constant] == pytest.approx([3.0] * 199)
    noisy = Curve((step, 3.0 + (-1) ** step) for step in range(1, 200)).smoothed()
    assert all(abs(value - 3) < 0.5 for _, value in noisy[10:])


@given(VALUES, st.booleans(), st.booleans(), st.booleans())
def test_points_are_inside_the_plot_area(values, raw, logarithmic, from_zero):
    series = Series("train", list(enumerate(values, 1)), raw=raw)
    drawn = chart("Loss", [series], logarithmic=logarithmic, from_zero=from_zero and not logarithmic)
    found = re.findall(r'points="([^"]*)"', drawn) or [",".join(re.findall(r'c[xy]="([^"]*)"', drawn))]
    places = [tuple(map(float, point.split(","))) for point in found[0].split()]
    assert len(places) == len(values)
    assert all(46 <= x <= 472 and 12 <= y <= 190 for x, y in places)
    assert re.findall(r'<text x="40"', drawn)


def test_a_spike_does_not_flatten_a_raw_curve():
    values = [(step, 3 - step / 100) for step in range(1, 101)]
    values[50] = (51, 1e9)
    drawn = chart("Loss", [Series("train", values, raw=True)])
    assert 'class="end">2.4</text>' in drawn


def test_labels_are_escaped():
    drawn = chart("<b>", [Series("</svg><script>", [(1, 2.0)])])
    assert "<script>" not in drawn
    assert "&lt;script&gt;" in drawn

"""Numbers as pages show them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.html.formats import round_step, share, short


@pytest.mark.parametrize(
    ("part", "of", "expected"),
    [
        (0, 0, "–"),
        (0, 5, "0 %"),
        (5, 5, "100 %"),
        (1, 8, "12.5 %"),
        (1, 9999, "< 0.1 %"),
        (9998, 9999, "> 99.9 %"),
    ],
)
def test_only_none_is_0_percent_and_only_all_is_100_percent(part, of, expected):
    assert share(part, of) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0, "0"), (0.125, "0.125"), (999, "999"), (1500, "1.5k"), (2_630_000, "2.63M")]
)
def test_chart_labels_use_unit_prefixes(value, expected):
    assert short(value) == expected


@given(st.floats(1e-9, 1e9))
def test_steps_are_one_two_or_five(step):
    assert f"{round_step(step):e}"[0] in "125"
    assert round_step(step) / step == pytest.approx(1, abs=0.51)

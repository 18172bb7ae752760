import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import ColumnsConfig
from pipeline.readers.record import Origin, Record
from pipeline.readers.tables.columns import column_mapping, record

MAPPING = column_mapping(ColumnsConfig(quality="score"))
ANY = st.one_of(
    st.integers(),
    st.floats(),
    st.decimals(),
    st.booleans(),
    st.text(),
    st.binary(),
    st.none(),
    st.lists(st.none()),
)


def test_source_is_read_from_the_configured_column():
    mapping = column_mapping(ColumnsConfig(source="metadata.source"))
    values = ({"metadata": {"source": "wiki"}}, {"metadata": {"source": 3}}, {"source": "web"}, {})
    items = [record({"text": "x"} | value, mapping, Origin(0, 0)) for value in values]
    assert [item.source for item in items] == ["wiki", "", "", ""]


def quality(value: object) -> float | None:
    item = record({"text": "x", "score": value}, MAPPING, Origin("a", 0))
    assert isinstance(item, Record)
    return item.quality


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3.0),
        (0.9, 0.9),
        ("0.9", 0.9),
        (" -1e3\n", -1000.0),
        (b"2", 2.0),
        (Decimal("0.25"), 0.25),
        ([0.5], 0.5),
    ],
)
def test_numbers_and_numeric_strings_are_read(value, number):
    assert quality(value) == number


@pytest.mark.parametrize(
    "value",
    [
        math.inf,
        math.nan,
        pytest.param(10**400, id="large"),
        "1e999",
        "nan",
        "good",
        "",
        True,
        [1, 2],
        {},
        None,
    ],
)
def test_other_values_are_empty(value):
    assert quality(value) is None


@given(ANY)
def test_no_value_costs_the_row(value):
    number = quality(value)
    assert number is None or math.isfinite(number)

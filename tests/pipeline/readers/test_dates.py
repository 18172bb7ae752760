from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.readers.dates import parse_date

TEN = datetime(2024, 5, 1, 10, tzinfo=UTC)
MIDNIGHT = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "2024-05-01T10:00:00Z",
        "2024-05-01t10:00:00z",
        " 2024-05-01 10:00:00 UTC\n",
        "2024-05-01T12:00:00+02:00",
        "2024/05/01 10:00",
        "20240501100000",
        "202405011000",
        20240501100000,
        "Wed, 01 May 2024 10:00:00 GMT",
        "Wednesday, 01-May-24 10:00:00 GMT",
        "1714557600",
        "1714557600000",
        1714557600,
        1714557600.0,
        1714557600000,
        1714557600000000,
        datetime(2024, 5, 1, 10),
        datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_times_in_common_notations_are_read(value: object) -> None:
    assert parse_date(value) == TEN


@pytest.mark.parametrize("value", ["2024-05-01", "20240501", 20240501, "2024-05", date(2024, 5, 1)])
def test_dates_without_a_time_begin_the_day_or_month(value: object) -> None:
    assert parse_date(value) == MIDNIGHT


@pytest.mark.parametrize("value", ["1899", 1899, 1899.0])
def test_years_begin_the_year(value: object) -> None:
    assert parse_date(value) == datetime(1899, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "0000-01-01",
        "10000-01-01",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
        "2024-13-45",
        "yesterday",
        "",
        "9" * 5000,
        10**400,
        float("nan"),
        float("inf"),
        0,
        -1,
        True,
        None,
        [],
        b"2024",
        "2024\0",
        "\ud83d",
    ],
)
def test_anything_else_is_no_date(value: object) -> None:
    assert parse_date(value) is None


@given(st.one_of(st.text(), st.text(alphabet="0123456789-:/ TZ+."), st.integers(), st.floats()))
def test_every_value_is_a_date_in_utc_or_none(value: object) -> None:
    found = parse_date(value)
    assert found is None or found.utcoffset() == timedelta()

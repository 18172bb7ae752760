import pytest

from core.messages import counted, duration, nearest


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0.0 s"),
        (4.21, "4.2 s"),
        (59.94, "59.9 s"),
        (60, "1 min 0 s"),
        (754, "12 min 34 s"),
        (3599.6, "1 h 0 min"),
        (11_100, "3 h 5 min"),
    ],
)
def test_durations(seconds, expected):
    assert duration(seconds) == expected


def test_numbers_have_their_noun():
    assert [counted(number, "task") for number in (0, 1, 1200)] == ["0 tasks", "1 task", "1,200 tasks"]


def test_nearest_returns_the_most_similar_name():
    assert nearest("gofer", ["c4", "fineweb", "gopher"]) == "gopher"
    assert nearest("@", ["c4"]) == "c4"

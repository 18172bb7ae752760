import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.filters.toxicity import sentences


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("One is here. Two is here! Three?", ["One is here. ", "Two is here! ", "Three?"]),
        ("Version 3.14 is out... and it works", ["Version 3.14 is out... ", "and it works"]),
        ("He said “so.” Then he left.", ["He said “so.” ", "Then he left."]),
        ("第一句。第二句！", ["第一句。", "第二句！"]),
        ("", [""]),
    ],
)
def test_split(line: str, expected: list[str]) -> None:
    assert sentences.split(line) == expected


@given(st.text(st.sampled_from("ab .!?。”")))
def test_joined_sentences_equal_the_line(line: str) -> None:
    assert "".join(sentences.split(line)) == line


def contains_bad(texts: list[str]) -> list[float]:
    return [float("bad" in text) for text in texts]


@pytest.mark.parametrize(
    ("text", "expected", "removed"),
    [
        ("Good. Bad is bad. Fine.", "Good. Fine.", 1),
        ("Good.\nIt is bad.\n\nFine.", "Good.\n\nFine.", 1),
        ("bad bad. It is bad.", "", 2),
        ("Good. \n\n Fine.", "Good. \n\n Fine.", 0),
    ],
)
def test_toxic_sentences_are_removed(text: str, expected: str, removed: int) -> None:
    assert sentences.remove_toxic(text, contains_bad, 0.4) == (expected, removed)

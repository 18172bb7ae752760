"""Headings of books, and the chapters that result from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.readers.books.chapters import MIN_CHAPTER_LENGTH, MIN_SPLIT_LENGTH, split_chapters
from pipeline.readers.books.headings import Heading, find_headings, is_heading

PROSE = "It was a day like many others, and nobody in the town expected a letter. " * 120 + "\n"
"""About 9,000 characters."""


def titles(text: str) -> list[str]:
    return [chapter.title for chapter in split_chapters(text, find_headings(text, 0), 0)]


def book(*headings: str) -> str:
    return "".join(f"\n\n{heading}\n\n{PROSE}" for heading in headings)


@pytest.mark.parametrize(
    "headings",
    [
        ("CHAPTER I", "CHAPTER II", "CHAPTER III", "CHAPTER IV"),
        ("Chapter One: The Town", "Chapter Two: The Letter", "Chapter Three", "EPILOGUE"),
        ("CHAPTER THE FIRST", "CHAPTER THE SECOND", "CHAPTER THE THIRD", "CHAPTER THE FOURTH"),
        ("Chapitre premier", "Chapitre deuxième", "Chapitre III", "Chapitre IV"),
        ("Erstes Kapitel", "Zweites Kapitel", "Drittes Kapitel", "Einundzwanzigstes Kapitel"),
        ("Capítulo primero", "Capítulo II", "Capítulo tercero", "Epílogo"),
        ("Глава первая", "Глава вторая", "Глава III", "Эпилог"),
        ("I", "II", "III", "IV"),
        ("I.", "II. THE LETTER", "III.", "V"),
        ("PREFACE", "1", "2", "3"),
        ("# The Town", "# The Letter", "# The *Answer*", "# End"),
    ],
)
def test_headings_of_many_styles_are_found(headings: tuple[str, ...]) -> None:
    found = titles(book(*headings))
    assert found == [heading.strip("#. ").replace("*", "") for heading in headings]


@pytest.mark.parametrize(
    "line",
    [
        "Chapter and verse were quoted.",
        "Part of the crowd left.",
        "Book the room, he said.",
        "The letter",
        "I",
        "Vol. One on's father's moods",
        "1984 was a year.",
        "He said: II",
    ],
)
def test_prose_is_not_a_heading(line: str) -> None:
    assert not is_heading(line) or line == "I"
    names = ["CHAPTER I", "CHAPTER II", "CHAPTER III", "CHAPTER IV"]
    assert titles(book(*names).replace("nobody", f"\n\n{line}\n\n", 1)) == names


def test_headings_are_found_without_blank_lines() -> None:
    lines = [f"{numeral} \nLE TITRE \n" + PROSE.replace(". ", ".\n") for numeral in ("I", "II", "III", "IV")]
    assert titles("".join(lines)) == ["I", "II", "III", "IV"]


def test_table_of_contents_has_no_headings() -> None:
    names = [f"CHAPTER {numeral}" for numeral in ("I", "II", "III", "IV", "V")]
    contents = "".join(f"{name}\n\nOf what happened\n\n" for name in names)
    text = f"A TALE\n\nCONTENTS\n\n{contents}" + book(*names)
    found = split_chapters(text, find_headings(text, 0), 0)
    assert [chapter.title for chapter in found] == names
    assert "CONTENTS" in text[found[0].start : found[0].end]


def test_page_numbers_are_not_headings() -> None:
    page = "A page of words that goes on for as long as a page does. " * 15
    assert titles("\n\n".join(f"{page}\n\n{number}" for number in range(1, 90))) == [""]


def test_titles_include_the_enclosing_divisions() -> None:
    text = "\n\nPART I" + book("CHAPTER I", "CHAPTER II", "CHAPTER III", "CHAPTER IV") + "\n\nPART II"
    text += book("CHAPTER I", "CHAPTER II", "CHAPTER III", "CHAPTER IV")
    expected = [
        f"PART {part}, CHAPTER {number}" for part in ("I", "II") for number in ("I", "II", "III", "IV")
    ]
    assert titles(text) == expected


def test_only_long_divisions_are_split() -> None:
    assert titles(book("CHAPTER I", "CHAPTER II")) == [""]
    short_parts = "# One" + book("## a", "## b") + "\n# Two" + book("## c", "## d", "## e", "## f")
    assert titles(short_parts) == ["One", "Two, c", "Two, d", "Two, e", "Two, f"]


def test_short_chapter_is_merged_with_its_neighbour() -> None:
    text = book("# One", "# Two", "# Three", "# Four") + "\n# Colophon\n\nPrinted in the town."
    assert titles(text) == ["One", "Two", "Three", "Four"]


HEADINGS = st.sampled_from(
    ["CHAPTER I", "# One", "## Two", "II", "3", "PART II", "Erstes Kapitel", "\n", "PREFACE", "### Three", ""]
)
LENGTHS = st.sampled_from([0, 10, 900, 2_000, 9_000, 40_000])


@given(st.lists(st.tuples(HEADINGS, LENGTHS), max_size=12), st.integers(0, 1000))
def test_chapters_together_are_the_book(parts: list[tuple[str, int]], origin: int) -> None:
    text = "".join(f"{heading}\n\n{'a word ' * (length // 7)}\n\n" for heading, length in parts)
    found = split_chapters(text, find_headings(text, origin), origin)
    assert "".join(text[chapter.start : chapter.end] for chapter in found) == text
    assert [chapter.source_offset for chapter in found] == [origin + chapter.start for chapter in found]
    assert len({chapter.source_offset for chapter in found}) == len(found)
    if len(found) > 1:
        assert len(text) >= MIN_SPLIT_LENGTH
        assert min(chapter.end - chapter.start for chapter in found) >= MIN_CHAPTER_LENGTH


@given(st.lists(st.tuples(st.integers(0, 90_000), st.integers(1, 4)), max_size=30))
def test_any_divisions_are_split_without_loss(divisions: list[tuple[int, int]]) -> None:
    text = "x" * 90_001
    headings = [Heading(at, (level, 0), str(at), at) for at, level in sorted(divisions)]
    found = split_chapters(text, headings, -1)
    assert "".join(text[chapter.start : chapter.end] for chapter in found) == text


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "repeated", ["# ", "#", "I\n\n", "CHAPTER I\n\n", " ", "\n", "# a # ", "1 ", "CHAPTER ", "* "]
)
def test_pathological_texts_are_fast(repeated: str) -> None:
    text = repeated * 100_000
    split_chapters(text, find_headings(text, 0), 0)
    text = "x" + text + "x"
    split_chapters(text, find_headings(text, 0), 0)

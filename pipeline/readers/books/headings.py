"""Chapter headings in Markdown and plain text, recognised by markup or wording."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from core.resources import read_toml

_MAX_CONTENTS_GAP = 300
"""Headings with fewer characters between them may belong to a table of contents."""
_MIN_NUMERAL_GAP = 1_500
"""Median distance in characters from which on bare numerals are headings rather than page numbers."""
_MAX_HEADING = 100
"""Longest plain-text heading in characters."""
_CHAPTER = 4
_NUMERAL = 6
_NO_HEADING = 9
# All repetitions are bounded, so that long lines cause no backtracking.
_MARKDOWN = re.compile(r"^(#{1,6})[ \t]{1,99}(\S.{0,199}?)[ \t#]{0,99}$", re.MULTILINE)
_LINE = re.compile(rf"^[ \t]{{0,99}}(\S.{{0,{_MAX_HEADING - 1}}}?)[ \t]{{0,99}}$", re.MULTILINE)
_ROMAN = re.compile(r"M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")
_BARE_NUMERAL = re.compile(r"([IVXLC]+|\d{1,3})(?:[.:\s—–-]*|[.:—–-]+\s+(?P<title>\D+))")
_WORD = re.compile(r"[^\W\d_][\w.'’-]*")
_PUNCTUATION = ".:,;—–-_*()[]"
_EMPHASIS = re.compile(r"[*_]{1,3}")


@dataclass(frozen=True, slots=True)
class Heading:
    """Start of a division of a book."""

    offset: int
    """Of its first character in the text."""
    level: tuple[int, int]
    """Depth in the markup and rank of the division; coarser divisions have smaller levels."""
    title: str
    """May be empty."""
    source_offset: int
    """Of its start in the file."""
    number: int | None = None
    """Value of a bare numeral."""


def find_headings(text: str, source_offset: int) -> list[Heading]:
    """Return the headings of a text that begins at ``source_offset`` in its file, in order.

    Markdown headings are preferred; plain-text headings are searched for only if there are none.
    """
    found = list(_markdown_headings(text)) or list(_plain_headings(text))
    unnumbered = _vocabulary().unnumbered
    if not any(
        heading.level[1] == _CHAPTER and _normalize(heading.title) not in unnumbered for heading in found
    ):
        # Without numbered chapter headings, bare numerals are chapters, not sections of chapters.
        found = [
            replace(heading, level=(heading.level[0], min(heading.level[1], _CHAPTER))) for heading in found
        ]
    return [replace(heading, source_offset=source_offset + heading.offset) for heading in found]


def _markdown_headings(text: str) -> Iterator[Heading]:
    for line in _MARKDOWN.finditer(text):
        title = _EMPHASIS.sub("", line[2])
        yield Heading(line.start(), (len(line[1]), _rank(title, _CHAPTER)), title, 0)


def _plain_headings(text: str) -> Iterator[Heading]:
    """Yield lines worded like headings, without tables of contents and numerals that are not in sequence."""
    candidates = list(_candidates(text))
    worded = [heading for heading in candidates if heading.level[1] != _NUMERAL]
    numerals = _sequential([heading for heading in candidates if heading.level[1] == _NUMERAL])
    yield from sorted([*_without_contents(worded), *numerals], key=lambda heading: heading.offset)


def _candidates(text: str) -> Iterator[Heading]:
    # A heading follows a blank line, except in texts without blank lines, where each line is a paragraph.
    has_blank_lines = text.count("\n\n") * 20 > text.count("\n")
    for line in _LINE.finditer(text):
        is_separate = not has_blank_lines or text[max(0, line.start() - 2) : line.start()] in (
            "",
            "\n",
            "\n\n",
        )
        if is_separate and (rank := _rank(line[1], _NO_HEADING)) != _NO_HEADING:
            bare = _BARE_NUMERAL.fullmatch(line[1]) if rank == _NUMERAL else None
            number = _numeral_value(bare[1]) if bare else None
            yield Heading(line.start(1), (0, rank), line[1], 0, number)


def is_heading(line: str) -> bool:
    """True if a line is worded like the heading of a chapter or another division."""
    return _rank(line, _NO_HEADING) != _NO_HEADING


def _rank(line: str, default: int) -> int:
    """Return the rank of a heading by its wording, ``default`` if it is not worded like one.

    Headings are a division and a number in either order, an unnumbered division, or a bare numeral.
    """
    if (
        (bare := _BARE_NUMERAL.fullmatch(line))
        and _numeral_value(bare[1])
        and (not bare["title"] or line.isupper())
    ):
        return _NUMERAL
    vocabulary = _vocabulary()
    words = [word for word in line.split(maxsplit=4)[:4] if _normalize(word)]
    first, second, third = [*map(_normalize, words), "", "", ""][:3]
    if len(words) == 1 and first in vocabulary.unnumbered:
        return _CHAPTER
    if first == "the":
        first, second, words = second, third, words[1:]
    elif second == "the":
        second, words = third, words[1:]
    if first in vocabulary.ranks and len(words) > 1 and _is_number(words[1], line, len(words) == 2):
        return vocabulary.ranks[first]
    if (
        second in vocabulary.ranks
        and _is_number(words[0], line, True)
        and (len(words) == 2 or line.isupper())
    ):
        return vocabulary.ranks[second]
    return default


def _normalize(words: str) -> str:
    """Convert to lower case and strip punctuation."""
    return words.strip(_PUNCTUATION).lower()


def _is_number(word: str, line: str, is_last: bool) -> bool:
    """True if a word of a line is a number: digits, a Roman numeral, or a number word.

    A number word counts only in a capitalised line, in capitals itself or before punctuation or the line's
    end.
    """
    bare = word.strip(_PUNCTUATION)
    if bare[:1].isdigit() or (bare and _ROMAN.fullmatch(bare)):
        return True
    is_emphasised = is_last or word != bare or bare.isupper()
    return is_emphasised and line[:1].isupper() and bare.lower().startswith(_vocabulary().numbers)


def _numeral_value(numeral: str) -> int:
    """Return the value of digits or a Roman numeral; 0 for anything else."""
    if numeral.isdecimal():
        return int(numeral)
    if not _ROMAN.fullmatch(numeral):
        return 0
    values = [{"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}[letter] for letter in numeral]
    return sum(-low if low < high else low for low, high in pairwise([*values, 0]))


def _without_contents(headings: Sequence[Heading]) -> Iterator[Heading]:
    """Yield headings that are not in a table of contents.

    A table of contents is a run of at least three headings close together, some of them of the same level. It
    ends where one of its headings is repeated.
    """
    runs: list[list[Heading]] = [[]]
    seen: set[tuple[str, ...]] = set()
    for heading in headings:
        name = _short_name(heading)
        if runs[-1] and (heading.offset - runs[-1][-1].offset > _MAX_CONTENTS_GAP or name in seen):
            runs.append([])
            seen.clear()
        runs[-1].append(heading)
        seen.add(name)
    for run in runs:
        levels = [heading.level for heading in run]
        if len(run) < 3 or len(set(levels)) == len(levels):
            yield from run


def _short_name(heading: Heading) -> tuple[str, ...]:
    """Return the words that a heading has in the table of contents and above its chapter alike."""
    return tuple(_WORD.findall(heading.title.lower())[:2]) or (heading.title,)


def _sequential(numerals: Sequence[Heading]) -> list[Heading]:
    """Return the bare numerals that number chapters: ascending, possibly restarting at 1, and far apart."""
    kept: list[Heading] = []
    for heading in numerals:
        number, last = heading.number or 0, kept[-1].number or 0 if kept else 0
        if number == 1 or last < number <= last + 3:
            kept.append(heading)
    gaps = sorted(later.offset - earlier.offset for earlier, later in pairwise(kept))
    if len(kept) < 3 or gaps[len(gaps) // 2] < _MIN_NUMERAL_GAP:
        return []
    return kept


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """Words of headings, from ``headings.toml``."""

    ranks: Mapping[str, int]
    """Rank of each word for a division."""
    unnumbered: frozenset[str]
    numbers: tuple[str, ...]
    """Prefixes of number words."""


@cache
def _vocabulary() -> _Vocabulary:
    table = read_toml("pipeline.readers.books", "headings.toml")
    ranks = {word.rstrip("."): rank for rank, words in enumerate(table["divisions"]) for word in words}
    numbers = tuple(word for words in table["numbers"] for word in words)
    return _Vocabulary(ranks, frozenset(table["unnumbered"]), numbers)

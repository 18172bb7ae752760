"""Where a book's chapters begin, and long books cut there.

Headings are found in Markdown and in plain text; TEI brings its own. A book is cut at its coarsest divisions,
those that are still long at the next, and so on; what is too short for a document of its own stays with its
neighbour. The pieces together are the text, character by character.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from core.resources import read_toml

LONG = 30_000
"""Characters from which on a book, or a part of one, is cut where it can be."""
SHORT = 1_000
"""A piece with fewer characters stays with the next one."""
_CLOSE = 300
"""Headings that follow each other with fewer characters between them may be a table of contents."""
_NUMERAL_SPACING = 1_500
"""Characters that usually lie between bare numerals if they are headings and no page numbers."""
_LONGEST_HEADING = 100
_CHAPTER = 4
_NUMERAL = 6
_NO_HEADING = 9
# Bounds on every repetition: nothing is tried again over a long line.
_MARKDOWN = re.compile(r"^(#{1,6})[ \t]{1,99}(\S.{0,199}?)[ \t#]{0,99}$", re.MULTILINE)
_LINE = re.compile(rf"^[ \t]{{0,99}}(\S.{{0,{_LONGEST_HEADING - 1}}}?)[ \t]{{0,99}}$", re.MULTILINE)
_ROMAN = re.compile(r"M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")
_BARE = re.compile(r"([IVXLC]+|\d{1,3})(?:[.:\s—–-]*|[.:—–-]+\s+(?P<title>\D+))")
_WORD = re.compile(r"[^\W\d_][\w.'’-]*")
_MARKS = ".:,;—–-_*()[]"
_EMPHASIS = re.compile(r"[*_]{1,3}")


@dataclass(frozen=True, slots=True)
class Heading:
    """A division of a book."""

    at: int
    """Its first character in the text."""
    level: tuple[int, int]
    """The smaller, the coarser: depth in the markup, rank of its kind."""
    title: str
    """May be empty."""
    origin: int
    """Where it begins in the file."""
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Chapter:
    """A slice of the book."""

    begin: int
    end: int
    title: str
    """Its heading, after those of the divisions that it is in."""
    origin: int


def cut(text: str, headings: Sequence[Heading], origin: int) -> list[Chapter]:
    """The book in chapters; in one piece if it is short or has no headings. ``origin``: its beginning's."""
    whole = [] if headings and headings[0].at == 0 else [Heading(0, (-1, 0), "", origin)]
    headings = [*whole, *headings]
    starts = sorted({heading.at for heading in _divide(headings, len(text))})
    return _without_short(list(_titled(dict(pairwise([*starts, len(text)])), headings)))


def _divide(headings: Sequence[Heading], end: int) -> list[Heading]:
    """The headings to cut at in a stretch of text that begins with the first of them."""
    first, *inner = headings
    if end - first.at < LONG or not inner:
        return [first]
    coarsest = min(heading.level for heading in inner)
    places = [0, *(place for place, heading in enumerate(inner, 1) if heading.level == coarsest)]
    cuts: list[Heading] = []
    for place, following in pairwise([*places, len(headings)]):
        stop = headings[following].at if following < len(headings) else end
        cuts += _divide(headings[place:following], stop)
    return cuts


def _titled(ends: Mapping[int, int], headings: Sequence[Heading]) -> Iterator[Chapter]:
    """The chapters between beginnings and ``ends``, with the titles of the divisions around them."""
    around: list[Heading] = []
    for place, heading in enumerate(headings, 1):
        while around and around[-1].level >= heading.level:
            around.pop()
        around.append(heading)
        is_innermost = place == len(headings) or headings[place].at > heading.at
        if heading.at in ends and is_innermost:
            title = ", ".join(outer.title.rstrip(".:") for outer in around if outer.title)
            yield Chapter(heading.at, ends[heading.at], title, heading.origin)


def _without_short(chapters: Sequence[Chapter]) -> list[Chapter]:
    """Chapters of which none is short, unless the book is: a short one joins the next, the last the previous.

    The longest of those joined gives the title.
    """
    joined: list[list[Chapter]] = [[]]
    for chapter in chapters:
        if joined[-1] and chapter.begin - joined[-1][0].begin >= SHORT:
            joined.append([])
        joined[-1].append(chapter)
    if len(joined) > 1 and joined[-1][-1].end - joined[-1][0].begin < SHORT:
        joined[-2:] = [joined[-2] + joined[-1]]
    return [
        replace(
            group[0],
            end=group[-1].end,
            title=max(group, key=lambda chapter: chapter.end - chapter.begin).title,
        )
        for group in joined
    ]


def find_headings(text: str, origin: int) -> list[Heading]:
    """The headings of a text that begins at ``origin`` in its file; those of Markdown if it has any."""
    found = list(_markdown(text)) or list(_plain(text))
    names = _table().named
    if not any(heading.level[1] == _CHAPTER and _bare(heading.title) not in names for heading in found):
        # Bare numerals are the chapters, beside prefaces and the like, and not their parts.
        found = [
            replace(heading, level=(heading.level[0], min(heading.level[1], _CHAPTER))) for heading in found
        ]
    return [replace(heading, origin=origin + heading.at) for heading in found]


def _markdown(text: str) -> Iterator[Heading]:
    for line in _MARKDOWN.finditer(text):
        title = _EMPHASIS.sub("", line[2])
        yield Heading(line.start(), (len(line[1]), _rank(title, _CHAPTER)), title, 0)


def _plain(text: str) -> Iterator[Heading]:
    """Headings by their wording, as far as they stand alone, are no table of contents and count rightly."""
    candidates = list(_candidates(text))
    by_name = [heading for heading in candidates if heading.level[1] != _NUMERAL]
    numerals = _counting([heading for heading in candidates if heading.level[1] == _NUMERAL])
    yield from sorted([*_without_contents(by_name), *numerals], key=lambda heading: heading.at)


def _candidates(text: str) -> Iterator[Heading]:
    # Where each line is a paragraph, none is blank; elsewhere, a heading has a blank line above it.
    spaced = text.count("\n\n") * 20 > text.count("\n")
    for line in _LINE.finditer(text):
        alone = not spaced or text[max(0, line.start() - 2) : line.start()] in ("", "\n", "\n\n")
        if alone and (rank := _rank(line[1], _NO_HEADING)) != _NO_HEADING:
            bare = _BARE.fullmatch(line[1]) if rank == _NUMERAL else None
            yield Heading(line.start(1), (0, rank), line[1], 0, _value(bare[1]) if bare else None)


def is_heading(line: str) -> bool:
    """Whether a line is worded like the heading of a chapter or of another division."""
    return _rank(line, _NO_HEADING) != _NO_HEADING


def _rank(line: str, otherwise: int) -> int:
    """The rank of a heading by its wording: division and number in either order, a name, or a numeral."""
    if (bare := _BARE.fullmatch(line)) and _value(bare[1]) and (not bare["title"] or line.isupper()):
        return _NUMERAL
    table = _table()
    words = [word for word in line.split(maxsplit=4)[:4] if _bare(word)]
    first, second, third = [*map(_bare, words), "", "", ""][:3]
    if len(words) == 1 and first in table.named:
        return _CHAPTER
    if first == "the":
        first, second, words = second, third, words[1:]
    elif second == "the":
        second, words = third, words[1:]
    if first in table.ranks and len(words) > 1 and _counts(words[1], line, len(words) == 2):
        return table.ranks[first]
    if second in table.ranks and _counts(words[0], line, True) and (len(words) == 2 or line.isupper()):
        return table.ranks[second]
    return otherwise


def _bare(words: str) -> str:
    """In lower case, without marks around."""
    return words.strip(_MARKS).lower()


def _counts(word: str, line: str, is_last: bool) -> bool:
    """Whether a word of a line is a number: in digits, in Roman capitals, in capitals, or before a pause."""
    bare = word.strip(_MARKS)
    if bare[:1].isdigit() or (bare and _ROMAN.fullmatch(bare)):
        return True
    pause = is_last or word != bare or bare.isupper()
    return pause and line[:1].isupper() and bare.lower().startswith(_table().numbers)


def _value(numeral: str) -> int:
    """The value of digits or of a Roman numeral; 0 if it is neither."""
    if numeral.isdecimal():
        return int(numeral)
    if not _ROMAN.fullmatch(numeral):
        return 0
    values = [{"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}[letter] for letter in numeral]
    return sum(-low if low < high else low for low, high in pairwise([*values, 0]))


def _without_contents(headings: Sequence[Heading]) -> Iterator[Heading]:
    """Headings without those of a table of contents: many close together, of which some are of one kind.

    The book itself begins where a heading comes for the second time.
    """
    runs: list[list[Heading]] = [[]]
    names: set[tuple[str, ...]] = set()
    for heading in headings:
        name = _names(heading)
        if runs[-1] and (heading.at - runs[-1][-1].at > _CLOSE or name in names):
            runs.append([])
            names.clear()
        runs[-1].append(heading)
        names.add(name)
    for run in runs:
        kinds = [heading.level for heading in run]
        if len(run) < 3 or len(set(kinds)) == len(kinds):
            yield from run


def _names(heading: Heading) -> tuple[str, ...]:
    """What a heading is called in a table of contents and above its chapter alike."""
    return tuple(_WORD.findall(heading.title.lower())[:2]) or (heading.title,)


def _counting(numerals: Sequence[Heading]) -> list[Heading]:
    """Bare numerals that count chapters: upwards from the first, perhaps over and over, and far apart."""
    kept: list[Heading] = []
    for heading in numerals:
        number, last = heading.number or 0, kept[-1].number or 0 if kept else 0
        if number == 1 or last < number <= last + 3:
            kept.append(heading)
    spacing = sorted(later.at - earlier.at for earlier, later in pairwise(kept))
    if len(kept) < 3 or spacing[len(spacing) // 2] < _NUMERAL_SPACING:
        return []
    return kept


@dataclass(frozen=True, slots=True)
class _Table:
    """The words in ``data/chapters.toml``."""

    ranks: Mapping[str, int]
    named: frozenset[str]
    numbers: tuple[str, ...]


@cache
def _table() -> _Table:
    table = read_toml("pipeline.readers.books", "chapters.toml")
    ranks = {word.rstrip("."): rank for rank, words in enumerate(table["divisions"]) for word in words}
    numbers = tuple(word for words in table["numbers"] for word in words)
    return _Table(ranks, frozenset(table["named"]), numbers)

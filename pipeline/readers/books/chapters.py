"""Splitting of long books into chapters at their headings.

A book is split at its coarsest divisions, those that are still long at the next finer ones, and so on. A
chapter that is too short for a document of its own is merged with its neighbour. The chapters together are
the text, character by character.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from pipeline.readers.books.headings import Heading

MIN_SPLIT_LENGTH = 30_000
"""Characters from which on a book or a division of one is split."""
MIN_CHAPTER_LENGTH = 1_000
"""Chapters with fewer characters are merged with the next one."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A slice of the book."""

    start: int
    end: int
    title: str
    """Titles of the divisions that contain it and of the chapter itself, separated by commas."""
    source_offset: int
    """Of its start in the file."""


def split_chapters(text: str, headings: Sequence[Heading], source_offset: int) -> list[Chapter]:
    """Return the chapters of a book, a single one if it is short or has no headings.

    ``source_offset`` is that of the start of the text.
    """
    beginning = [] if headings and headings[0].offset == 0 else [Heading(0, (-1, 0), "", source_offset)]
    headings = [*beginning, *headings]
    starts = sorted({heading.offset for heading in _divide(headings, len(text))})
    return _merge_short(list(_titled(dict(pairwise([*starts, len(text)])), headings)))


def _divide(headings: Sequence[Heading], end: int) -> list[Heading]:
    """Return the headings to split at in the text from the first heading to ``end``."""
    first, *inner = headings
    if end - first.offset < MIN_SPLIT_LENGTH or not inner:
        return [first]
    coarsest = min(heading.level for heading in inner)
    indices = [0, *(index for index, heading in enumerate(inner, 1) if heading.level == coarsest)]
    cuts: list[Heading] = []
    for index, following in pairwise([*indices, len(headings)]):
        stop = headings[following].offset if following < len(headings) else end
        cuts += _divide(headings[index:following], stop)
    return cuts


def _titled(ends: Mapping[int, int], headings: Sequence[Heading]) -> Iterator[Chapter]:
    """Yield the chapters, titled with the divisions around them. ``ends`` maps their starts to their ends."""
    enclosing: list[Heading] = []
    for following, heading in enumerate(headings, 1):
        while enclosing and enclosing[-1].level >= heading.level:
            enclosing.pop()
        enclosing.append(heading)
        is_innermost = following == len(headings) or headings[following].offset > heading.offset
        if heading.offset in ends and is_innermost:
            title = ", ".join(outer.title.rstrip(".:") for outer in enclosing if outer.title)
            yield Chapter(heading.offset, ends[heading.offset], title, heading.source_offset)


def _merge_short(chapters: Sequence[Chapter]) -> list[Chapter]:
    """Merge short chapters with the next one, a short last chapter with the one before.

    Merged chapters have the title of the longest of them.
    """
    groups: list[list[Chapter]] = [[]]
    for chapter in chapters:
        if groups[-1] and chapter.start - groups[-1][0].start >= MIN_CHAPTER_LENGTH:
            groups.append([])
        groups[-1].append(chapter)
    if len(groups) > 1 and groups[-1][-1].end - groups[-1][0].start < MIN_CHAPTER_LENGTH:
        groups[-2:] = [groups[-2] + groups[-1]]
    return [
        replace(
            group[0],
            end=group[-1].end,
            title=max(group, key=lambda chapter: chapter.end - chapter.start).title,
        )
        for group in groups
    ]

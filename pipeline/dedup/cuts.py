"""Cut spans out of a text, so that the rest still reads as text."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.analysis.arrays import Positions
from pipeline.analysis.characters import UNSPACED, WORDLIKE, character_table

LINES, SUBSTRINGS = "lines", "substrings"
"""Why a span is cut: corpus-wide repeated lines; passages that an earlier document contains."""

_WHITE = re.compile(r"\s*")
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")


class Span(NamedTuple):
    """A span of a text: offset in code points of the first character, and past the last."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class DocumentSpans:
    """Spans of several documents, in order of document and offset, disjoint."""

    documents: Positions
    """Number of the document of each span."""
    starts: Positions
    ends: Positions

    def __len__(self) -> int:
        return len(self.starts)


def cut(text: str, spans: Iterable[Span]) -> str:
    """Remove spans, which are sorted and disjoint, and adjust the white space around them.

    Every other character but white space stays. A removed span and the white space on both sides become

    - a blank line if that part of the text contained one, else a line break if it contained one: words stay
      in different paragraphs and lines if they were;
    - otherwise a space, or nothing where none was and the neighbours are not joined to one word, as in
      Chinese;
    - nothing at the beginning and at the end of the text.

    Lines that follow keep their indentation. Without spans, the text is returned as it is.
    """
    parts: list[str] = []
    position = 0
    for gap in _gaps(text, spans):
        parts += (text[position : gap.start], _separator(text, gap))
        position = gap.end
    return "".join((*parts, text[position:]))


@dataclass(frozen=True, slots=True)
class _Gap:
    """A maximal part of a text that consists of spans and white space."""

    start: int
    last_span_end: int
    end: int
    has_white: bool
    """There is white space outside the spans."""


def _gaps(text: str, spans: Iterable[Span]) -> Iterator[_Gap]:
    gap: _Gap | None = None
    for start, end in spans:
        white_end = _white_end(text, end)
        if gap and start <= gap.end:
            has_white = gap.has_white or start > gap.last_span_end or white_end > end
            gap = _Gap(gap.start, end, white_end, has_white)
            continue
        if gap:
            yield gap
        gap_start = gap.end if gap else 0
        gap_start += len(text[gap_start:start].rstrip())
        gap = _Gap(gap_start, end, white_end, gap_start < start or white_end > end)
    if gap:
        yield gap


def _white_end(text: str, position: int) -> int:
    found = _WHITE.match(text, position)
    return found.end() if found else position


def _separator(text: str, gap: _Gap) -> str:
    if gap.end == len(text):
        return ""
    removed = text[gap.start : gap.end]
    _, newline, indentation = text[gap.last_span_end : gap.end].rpartition("\n")
    indentation = indentation if newline else ""
    if gap.start == 0:
        return indentation
    if "\n" in removed:
        return ("\n\n" if _BLANK_LINE.search(removed) else "\n") + indentation
    return " " if gap.has_white or _would_join(text[gap.start - 1], text[gap.end]) else ""


def _would_join(left: str, right: str) -> bool:
    """True if two characters, next to each other, need a space between them: one is part of a word, and
    neither belongs to a script without spaces."""
    either = character_table().classes[[ord(left), ord(right)]]
    return bool((either & WORDLIKE).any() and not (either & UNSPACED).any())

"""A document analysed once: words, lines and paragraphs as arrays of spans and 64-bit hashes.

Every filter and MinHash read the same :class:`Analysis`, so that text is walked once, by array arithmetic
over its code points. How text falls into tokens is what ``words.py`` says, to the letter as spaCy's English
rules have it, by which datatrove counts words. Scripts written without spaces (Han, Kana, Thai, Lao, Khmer,
Burmese) are given one word per letter if so asked, and always in what MinHash shingles.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.hashing import Hashes
from pipeline.analysis import pieces
from pipeline.analysis.characters import BREAK, LETTER, UNSPACED, WORDLIKE, Kinds, table
from pipeline.analysis.hashes import (
    Codes,
    Positions,
    code_points,
    hashes_to_the_end,
    lengthen,
    ngram_hashes,
    prefix_sums,
    span_hashes,
    where,
)
from pipeline.analysis.pieces import Flags, Pieces

__all__ = [
    "Analysis",
    "Codes",
    "Flags",
    "Hashes",
    "Lines",
    "Positions",
    "Spans",
    "analyse",
    "hash_words",
    "hashes_to_the_end",
    "lengthen",
    "line_hashes",
    "ngram_hashes",
    "running_count",
    "where",
]

NEWLINE, RETURN = 0x0A, 0x0D


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Stretches of a text, in order: first character, one past the last, and the hash of what is between."""

    starts: Positions
    ends: Positions
    hashes: Hashes

    @property
    def lengths(self) -> Positions:
        """Characters per span."""
        return self.ends - self.starts

    def __len__(self) -> int:
        return len(self.starts)

    def where(self, wanted: Flags) -> "Spans":
        """The spans whose flag is set."""
        return Spans(self.starts[wanted], self.ends[wanted], self.hashes[wanted])

    def moved(self, chosen: Positions, by: Positions) -> "Spans":
        """The spans of these numbers, each somewhere else in the text."""
        return Spans(self.starts[chosen] + by, self.ends[chosen] + by, self.hashes[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Lines, and which pieces lie in each."""

    starts: Positions
    ends: Positions
    first_piece: Positions
    past_piece: Positions

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """What the filters and MinHash need to know of a text. Arrays run over tokens or lines, in text order."""

    text: str
    codes: Codes
    """The text's code points."""
    kinds: Kinds
    """What each of them can be; see ``characters.py``."""
    pieces: Pieces
    """What white space separates."""
    tokens: Spans
    """Words and symbols; hashes as written, upper and lower case apart."""
    is_word: Flags
    """Per token: it has a letter, number or mark."""
    has_letter: Flags
    """Per token."""
    words: Spans
    """The tokens that are words, in scripts without spaces always one per letter; hashes in lower case."""
    lines: Spans
    """What stands between newlines: one more than there are newlines."""
    line_is_blank: Flags
    """Per line: nothing but white space."""
    broken_lines: Lines
    """As ``str.splitlines`` has them: it breaks at more than newlines, and not after the last."""
    paragraphs: Spans
    """What stands between two or more newlines in a row, once the text is stripped; at least one."""

    @property
    def word_hashes(self) -> Hashes:
        """What MinHash shingles."""
        return self.words.hashes

    def select(self, numbers: Positions) -> "Analysis":
        """What :func:`analyse` makes of these ``broken_lines`` alone, stripped and joined by newlines.

        Every one of them must have words. Takes a third of the time.
        """
        if not len(numbers):
            return analyse("")
        first, past = self.broken_lines.first_piece[numbers], self.broken_lines.past_piece[numbers]
        starts, ends = self.pieces.starts[first], self.pieces.ends[past - 1]
        steps = ends - starts + 1
        begins = np.cumsum(steps) - steps
        text = "\n".join(
            self.text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        )
        codes = code_points(text)
        prefix = prefix_sums(codes)
        tokens, by_token = _within(self.tokens.starts, starts, ends, begins)
        words, by_word = _within(self.words.starts, starts, ends, begins)
        inner, by_piece = _within(self.pieces.starts, starts, ends, begins)
        piece_counts = np.cumsum(past - first)
        lines = Spans(begins, begins + steps - 1, span_hashes(prefix, begins, begins + steps - 1))
        whole = np.array([0]), np.array([len(codes)])
        return Analysis(
            text=text,
            codes=codes,
            kinds=table().kinds.take(codes),
            pieces=Pieces(*(getattr(self.pieces, name)[inner] + by_piece for name in Pieces.__slots__)),
            tokens=self.tokens.moved(tokens, by_token),
            is_word=self.is_word[tokens],
            has_letter=self.has_letter[tokens],
            words=self.words.moved(words, by_word),
            lines=lines,
            line_is_blank=np.zeros(len(lines), np.bool_),
            broken_lines=Lines(lines.starts, lines.ends, piece_counts - (past - first), piece_counts),
            paragraphs=Spans(*whole, span_hashes(prefix, *whole)),
        )


def analyse(text: str, *, split_unspaced: bool = True) -> Analysis:
    """Analyse a text of any length, lone surrogates included. About 1 ms for 3,000 characters.

    ``split_unspaced``: tokens of scripts without spaces are single letters; otherwise what signs separate.
    """
    codes = code_points(text)
    kinds = table().kinds.take(codes)
    prefix = prefix_sums(codes)
    found = pieces.find(kinds)
    begins = np.zeros(len(codes) + 1, np.bool_)
    begins[pieces.cut(text, codes, kinds, prefix, found)] = True
    words = tokens = _spans(begins, found)
    if (kinds & UNSPACED).any():
        begins[pieces.cut_unspaced(kinds)] = True
        words = _spans(begins, found)
        tokens = words if split_unspaced else tokens
    wordlike, letters = running_count(kinds & WORDLIKE != 0), running_count(kinds & LETTER != 0)
    lines = _line_spans(codes, prefix)
    lower_prefix = prefix_sums(table().lower.take(codes))
    starts, ends = (edges[wordlike[words[1]] > wordlike[words[0]]] for edges in words)
    return Analysis(
        text=text,
        codes=codes,
        kinds=kinds,
        pieces=found,
        tokens=Spans(*tokens, span_hashes(prefix, *tokens)),
        is_word=wordlike[tokens[1]] > wordlike[tokens[0]],
        has_letter=letters[tokens[1]] > letters[tokens[0]],
        words=Spans(starts, ends, span_hashes(lower_prefix, starts, ends)),
        lines=lines,
        line_is_blank=found.starts.searchsorted(lines.starts) == found.starts.searchsorted(lines.ends),
        broken_lines=_broken_lines(codes, kinds, found),
        paragraphs=_paragraph_spans(found, lines, prefix),
    )


def hash_words(words: Sequence[str]) -> Hashes:
    """The hashes that single words, lower-cased, have in :attr:`Analysis.word_hashes`."""
    sums = [prefix_sums(table().lower[code_points(word)]) for word in words]
    hashes = [span_hashes(each, np.array([0]), np.array([len(each) - 1])) for each in sums]
    return np.concatenate(hashes) if hashes else np.empty(0, np.uint64)


def line_hashes(codes: NDArray[np.uint8]) -> Hashes:
    """Hashes of the newline-separated lines of ASCII bytes, equal to those of :func:`hash_words`."""
    return _line_spans(codes, prefix_sums(codes)).hashes


def running_count(flags: Flags) -> Positions:
    """How many flags are set before each position; one element more than there are flags."""
    counts = np.zeros(len(flags) + 1, np.int64)
    flags.cumsum(out=counts[1:])
    return counts


def _spans(begins: Flags, found: Pieces) -> tuple[Positions, Positions]:
    """Starts and ends of what pieces fall into where something begins inside of them."""
    ends = begins.copy()
    ends[found.ends] = True
    starts = begins.copy()
    starts[found.starts] = True
    return where(starts), where(ends)


def _within(
    spans: Positions, starts: Positions, ends: Positions, begins: Positions
) -> tuple[Positions, Positions]:
    """Which spans begin in some stretches of a text, and how far each moves where those begin elsewhere."""
    first, past = spans.searchsorted(starts), spans.searchsorted(ends)
    counts = past - first
    before = np.cumsum(counts) - counts
    chosen = np.arange(int(counts.sum())) + np.repeat(first - before, counts)
    return chosen, np.repeat(begins - starts, counts)


def _line_spans(codes: NDArray[np.unsignedinteger], prefix: Hashes) -> Spans:
    newlines = where(codes == NEWLINE)
    starts = np.concatenate([[0], newlines + 1])
    ends = np.concatenate([newlines, [len(codes)]])
    return Spans(starts, ends, span_hashes(prefix, starts, ends))


def _broken_lines(codes: Codes, kinds: Kinds, found: Pieces) -> Lines:
    breaks = where(kinds & BREAK)
    starts, ends = np.concatenate([[0], breaks + 1]), np.concatenate([breaks, [len(codes)]])
    returns = codes[breaks] == RETURN
    if returns.any():
        followed = (codes[breaks[1:]] == NEWLINE) & (breaks[1:] - breaks[:-1] == 1)
        pairs = where(returns[:-1] & followed)
        starts, ends = np.delete(starts, pairs + 1), np.delete(ends, pairs + 1)
    if starts[-1] == len(codes):
        starts, ends = starts[:-1], ends[:-1]
    return Lines(starts, ends, found.starts.searchsorted(starts), found.starts.searchsorted(ends))


def _paragraph_spans(found: Pieces, lines: Spans, prefix: Hashes) -> Spans:
    """Between the first and last inked character, break wherever an empty line lies."""
    if not len(found.starts):
        nothing = np.zeros(1, np.int64)
        return Spans(nothing, nothing, span_hashes(prefix, nothing, nothing))
    first, last = found.starts[0], found.ends[-1]
    within = (lines.ends > first) & (lines.starts < last) & (lines.lengths > 0)
    numbers = where(within)
    gaps = where(numbers[1:] - numbers[:-1] > 1)
    starts = lines.starts[numbers[np.concatenate([[0], gaps + 1])]]
    ends = lines.ends[numbers[np.concatenate([gaps, [len(numbers) - 1]])]]
    starts[0], ends[-1] = first, last
    return Spans(starts, ends, span_hashes(prefix, starts, ends))

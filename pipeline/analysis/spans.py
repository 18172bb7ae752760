"""Spans of a text with their hashes: lines and paragraphs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.hashing import Hashes
from pipeline.analysis.arrays import Codes, Flags, Positions, nonzero_indices
from pipeline.analysis.characters import BREAK, CharClasses
from pipeline.analysis.hashes import prefix_sums, span_hashes
from pipeline.analysis.segments import Segments

NEWLINE, RETURN = 0x0A, 0x0D


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Spans of a text, in order: offset of the first character, offset past the last, and hash."""

    starts: Positions
    ends: Positions
    hashes: Hashes

    @property
    def lengths(self) -> Positions:
        """Characters per span."""
        return self.ends - self.starts

    def __len__(self) -> int:
        return len(self.starts)

    def filter(self, mask: Flags) -> "Spans":
        """Return the spans whose flag is set."""
        return Spans(self.starts[mask], self.ends[mask], self.hashes[mask])


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Lines, and the range of segments in each."""

    starts: Positions
    ends: Positions
    first_segment: Positions
    end_segment: Positions
    """Past the last segment; equal to ``first_segment`` for a blank line."""

    def __len__(self) -> int:
        return len(self.starts)


def newline_lines(codes: NDArray[np.unsignedinteger], prefix: Hashes) -> Spans:
    """Return the spans between newlines: one more than there are newlines."""
    newlines = nonzero_indices(codes == NEWLINE)
    starts = np.concatenate([[0], newlines + 1])
    ends = np.concatenate([newlines, [len(codes)]])
    return Spans(starts, ends, span_hashes(prefix, starts, ends))


def line_hashes(codes: NDArray[np.uint8]) -> Hashes:
    """Return the hashes of the newline-separated lines of ASCII bytes.

    They equal those of :func:`~pipeline.analysis.document_analysis.hash_words` for lower-case lines.
    """
    return newline_lines(codes, prefix_sums(codes)).hashes


def split_lines(codes: Codes, classes: CharClasses, segments: Segments) -> Lines:
    """Return the lines that ``str.splitlines`` returns."""
    breaks = nonzero_indices(classes & BREAK)
    starts, ends = np.concatenate([[0], breaks + 1]), np.concatenate([breaks, [len(codes)]])
    returns = codes[breaks] == RETURN
    if returns.any():
        followed = (codes[breaks[1:]] == NEWLINE) & (breaks[1:] - breaks[:-1] == 1)
        pairs = nonzero_indices(returns[:-1] & followed)
        starts, ends = np.delete(starts, pairs + 1), np.delete(ends, pairs + 1)
    if starts[-1] == len(codes):
        starts, ends = starts[:-1], ends[:-1]
    return Lines(starts, ends, segments.starts.searchsorted(starts), segments.starts.searchsorted(ends))


def paragraphs(segments: Segments, lines: Spans, prefix: Hashes) -> Spans:
    """Return the spans between empty lines of the stripped text: at least one."""
    if not len(segments.starts):
        empty = np.zeros(1, np.int64)
        return Spans(empty, empty, span_hashes(prefix, empty, empty))
    first, last = segments.starts[0], segments.ends[-1]
    within = (lines.ends > first) & (lines.starts < last) & (lines.lengths > 0)
    numbers = nonzero_indices(within)
    gaps = nonzero_indices(numbers[1:] - numbers[:-1] > 1)
    starts = lines.starts[numbers[np.concatenate([[0], gaps + 1])]]
    ends = lines.ends[numbers[np.concatenate([gaps, [len(numbers) - 1]])]]
    starts[0], ends[-1] = first, last
    return Spans(starts, ends, span_hashes(prefix, starts, ends))

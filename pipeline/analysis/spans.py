"""Spans of a text with their hashes: lines and paragraphs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.hashing import Hashes
from pipeline.analysis.arrays import Codes, Flags, Groups, Positions, changes, nonzero_indices
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


def split_lines(codes: Codes, classes: CharClasses, segments: Segments, text_ends: Positions) -> Lines:
    """Return the lines that ``str.splitlines`` returns for texts that end where given, joined by newlines."""
    breaks = nonzero_indices(classes & BREAK)
    starts, ends = np.concatenate([[0], breaks + 1]), np.concatenate([breaks, [len(codes)]])
    is_end = np.zeros(len(codes) + 1, np.bool_)
    is_end[text_ends] = True
    kept = ~(is_end[ends] & (starts == ends))  # nothing follows the last break of a text
    returns = codes[breaks] == RETURN
    if returns.any():
        followed = (codes[breaks[1:]] == NEWLINE) & (breaks[1:] - breaks[:-1] == 1) & ~is_end[breaks[1:]]
        kept[1:-1] &= ~(returns[:-1] & followed)  # the line between the two
    starts, ends = starts[kept], ends[kept]
    return Lines(starts, ends, segments.starts.searchsorted(starts), segments.starts.searchsorted(ends))


def paragraphs(
    segments: Segments,
    segment_groups: Groups,
    lines: Spans,
    line_groups: Groups,
    text_starts: Positions,
    prefix: Hashes,
) -> Spans:
    """Return the spans between empty lines of each stripped text: at least one per text."""
    inked = nonzero_indices(segment_groups.sizes)
    first, last = text_starts.copy(), text_starts.copy()
    first[inked] = segments.starts[segment_groups.bounds[inked]]
    last[inked] = segments.ends[segment_groups.bounds[inked + 1] - 1]
    owners = line_groups.owners()
    within = (lines.ends > first[owners]) & (lines.starts < last[owners]) & (lines.lengths > 0)
    numbers = nonzero_indices(within)
    begins = changes(numbers - np.arange(len(numbers)), owners[numbers])
    starts = lines.starts[numbers[begins]]
    ends = lines.ends[numbers[np.append(begins, len(numbers))[1:] - 1]]
    owners = owners[numbers[begins]]
    starts[owners.searchsorted(inked)] = first[inked]
    ends[owners.searchsorted(inked, "right") - 1] = last[inked]
    blank = nonzero_indices(segment_groups.sizes == 0)
    if len(blank):
        at = owners.searchsorted(blank)
        starts, ends = np.insert(starts, at, first[blank]), np.insert(ends, at, first[blank])
    return Spans(starts, ends, span_hashes(prefix, starts, ends))

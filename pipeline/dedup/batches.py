"""Texts joined into one array of code points, so that array operations are paid once per batch, not per text.

A text of a few hundred words is too short for NumPy: the calls cost more than the work.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from core.hashing import Hashes
from pipeline.analysis.arrays import Codes, Positions, code_points
from pipeline.analysis.characters import CharClasses, character_table
from pipeline.analysis.hashes import prefix_sums
from pipeline.analysis.segments import Segments, find_segments

BATCH_CHARACTERS = 1 << 18
"""Characters in a batch of several texts: the arrays of one step fit into a processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class TextBatch:
    """Texts joined by newlines. Documents are numbered in the order of the texts."""

    first: int
    """Number of the first text."""
    starts: Positions
    """Offset of each text in ``codes``."""
    codes: Codes
    classes: CharClasses
    prefix: Hashes
    """Sums from which spans are hashed; see ``pipeline/analysis/hashes.py``."""
    segments: Segments
    """The parts between white space, of all texts."""

    def documents(self, positions: Positions) -> Positions:
        """Return the number of the document that contains each offset into ``codes``."""
        return self.starts.searchsorted(positions, "right") + (self.first - 1)

    def offsets(self, documents: Positions) -> Positions:
        """Return where documents begin in ``codes``, by number."""
        return self.starts[documents - self.first]


def text_batches(texts: Sequence[str], characters: int = BATCH_CHARACTERS) -> Iterator[TextBatch]:
    """Join texts into batches of at most ``characters`` characters, or of one longer text."""
    first = size = 0
    for number, text in enumerate(texts):
        if number > first and size + len(text) > characters:
            yield _join(texts[first:number], first)
            first, size = number, 0
        size += len(text) + 1
    if first < len(texts):
        yield _join(texts[first:], first)


def _join(texts: Sequence[str], first: int) -> TextBatch:
    codes = code_points("\n".join(texts))
    classes = character_table().classes.take(codes)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts)) + 1
    starts = lengths.cumsum() - lengths
    return TextBatch(first, starts, codes, classes, prefix_sums(codes), find_segments(classes))

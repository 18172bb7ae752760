"""Blocks that a reader sees as one, so that a page's main content has all of them or none.

The trees estimate every block by itself. Here their margins are adjusted by two rules. A list, a quote or a
listing is kept or left out as a whole, without holes. A caption or a definition list between two passages of
the main content belongs to it, although such elements elsewhere rarely do.
"""

from collections.abc import Iterator, Set

import numpy as np
from numpy.typing import NDArray

from pipeline.extraction.html.blocks import Blocks

WHOLE = frozenset(("ul", "ol", "dl", "pre", "blockquote"))
"""Elements whose blocks belong together."""
ATTACHED = frozenset(("dl", "figcaption", "caption", "summary"))
"""Elements that belong to the text before and after them."""
WHOLE_SMOOTHING = 0.9
"""Weight of the mean margin of an element of :data:`WHOLE`, from 0 to 1."""

Margins = NDArray[np.float32]


def adjust(margins: Margins, blocks: Blocks, words: NDArray[np.float32]) -> None:
    """Adjust the margins of the blocks of a page in place. ``words``: the number of words of each block."""
    for first, stop in _ranges(blocks, WHOLE):
        inside, weights = margins[first:stop], words[first:stop]
        inside += WHOLE_SMOOTHING * (inside.dot(weights) / max(np.add.reduce(weights), 1) - inside)
    for first, stop in _joined(_ranges(blocks, ATTACHED)):
        if first > 0 and stop < len(margins):
            np.maximum(margins[first:stop], min(margins[first - 1], margins[stop]), out=margins[first:stop])


def _ranges(blocks: Blocks, tags: Set[str]) -> Iterator[tuple[int, int]]:
    """Yield first block and end of each outermost element with one of the tags, without empty ones."""
    end = 0
    for element in [element for element, tag in enumerate(blocks.tags) if tag in tags]:
        first, count = blocks.firsts[element], blocks.counts[element]
        if count and first >= end:
            end = first + count
            yield first, end


def _joined(ranges: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join successive ranges that touch."""
    start, end = next(ranges, (0, 0))
    for first, stop in ranges:
        if first > end:
            yield start, end
            start = first
        end = stop
    if end:
        yield start, end

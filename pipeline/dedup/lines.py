"""Lines that many documents repeat, such as menus and cookie notices, found by counts of line hashes.

A line is the text between newlines, without white space around it. Lines are compared by 64-bit hashes: of L
different lines, of which F are frequent, about L · F / 2**64 are wrongly taken for frequent (5 in 10,000 for
10**10 lines, of which a million are frequent).
"""

from collections.abc import Iterable, Iterator

import numpy as np

from core.hashing import Hashes
from pipeline.analysis.arrays import Positions, nonzero_indices
from pipeline.analysis.hashes import span_hashes
from pipeline.analysis.spans import NEWLINE, Spans
from pipeline.dedup.arrays import Pairs, contains, count_pairs, sum_pairs
from pipeline.dedup.batches import TextBatch
from pipeline.dedup.cuts import DocumentSpans

MAX_SUMS = 1 << 20
"""Partial sums that a task holds at a time: some 50 MB with the copies that sorting makes."""


def find_lines(batch: TextBatch, min_characters: int) -> Spans:
    """Return the stripped lines of all texts that have at least ``min_characters`` characters.

    Offsets are those of the batch.
    """
    segments = batch.segments
    newlines = nonzero_indices(batch.codes == NEWLINE)
    edges = segments.starts.searchsorted(newlines)
    first, past = np.concatenate([[0], edges]), np.concatenate([edges, [len(segments.starts)]])
    has_text = past > first
    starts, ends = segments.starts[first[has_text]], segments.ends[past[has_text] - 1]
    long = ends - starts >= min_characters
    starts, ends = starts[long], ends[long]
    return Spans(starts, ends, span_hashes(batch.prefix, starts, ends))


def count_lines(batch: TextBatch, hosts: Positions, min_characters: int) -> Pairs:
    """Count the documents of each host that contain each line: pairs of line and host.

    ``hosts``: a hash for every text that the batches were made of.
    """
    lines = find_lines(batch, min_characters)
    hashes, documents, _ = count_pairs(lines.hashes, batch.documents(lines.starts))
    return count_pairs(hashes, hosts[documents])


def add_up(counts: Iterable[Pairs], limit: int = MAX_SUMS) -> Iterator[Pairs]:
    """Add counts up, and yield the sums whenever there are at least ``limit`` different pairs."""
    pending: list[Pairs] = []
    size = 0
    for each in counts:
        pending.append(each)
        size += len(each[0])
        if size >= 2 * limit:
            total = _sum(pending)
            pending, size = [total], len(total[0])
            if size >= limit:
                yield total
                pending, size = [], 0
    if pending:
        yield _sum(pending)


def frequent_lines(batch: TextBatch, frequent: Hashes, min_characters: int) -> DocumentSpans:
    """Return the lines whose hash is in ``frequent``, which is sorted. Offsets are those of the batch."""
    lines = find_lines(batch, min_characters)
    found = lines.filter(contains(frequent, lines.hashes))
    return DocumentSpans(batch.documents(found.starts), found.starts, found.ends)


def _sum(counts: list[Pairs]) -> Pairs:
    hashes, numbers, weights = zip(*counts, strict=True)
    return sum_pairs(np.concatenate(hashes), np.concatenate(numbers), np.concatenate(weights))

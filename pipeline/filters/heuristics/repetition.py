"""Repeated n-grams, for every project, and repeated items as Dolma and DCLM count them.

Dolma and DCLM count every copy of a repeated item, including the first, unlike datatrove (``gopher.py``).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.analysis import Groups, Hashes, Positions, extend_ngrams, grouped_hashes, nonzero_indices
from pipeline.analysis.arrays import changes

MAX_BUCKET_BITS = 20
"""Bits of a hash by which repeated n-grams are looked for, before they are sorted: 8 MB of counts."""
ORDERS, TOP_ORDERS = range(2, 11), range(2, 5)
"""All values of n, and those for which only the most frequent n-gram counts."""


@dataclass(frozen=True, slots=True, eq=False)
class Ngrams:
    """The n-grams that occur more than once in a text. One array element per occurrence, in text order."""

    n: int
    starts: Positions
    """Index of the first word."""
    hashes: Hashes
    sizes: Positions
    """Characters in the words of the n-gram."""
    counts: Positions
    """Number of occurrences in the text."""


def count_repeated(items: Sequence[str]) -> tuple[int, int]:
    """Return the number of items that are equal to another item, and the characters in them."""
    repeated = [(item, count) for item, count in Counter(items).items() if count > 1]
    return sum(count for _, count in repeated), sum(len(item) * count for item, count in repeated)


def word_lengths(words: Sequence[str]) -> Positions:
    """Return the length of each word in characters."""
    return np.fromiter(map(len, words), np.int64, len(words))


def exact_ids(words: Sequence[str]) -> Hashes:
    """Return an integer per word, the same for equal words only: hashes without collisions."""
    numbers: dict[str, int] = {}
    return np.fromiter((numbers.setdefault(word, len(numbers)) for word in words), np.uint64, len(words))


def repeated_ngrams(words: Hashes, edges: Positions, groups: Groups | None = None) -> Iterator[Ngrams]:
    """Yield the n-grams of 2 to 10 words that are repeated within a text, for each n.

    ``groups``: the words of each text; None for those of one text. ``edges``: cumulative characters before
    each word and in all, ``len(words) + 1`` elements. An n-gram can only repeat where its first n − 1 words
    do, so that each step inspects fewer positions.
    """
    groups = groups or Groups(np.array([0, len(words)]))
    words = hashes = grouped_hashes(words, groups)
    starts = np.arange(len(words))
    remaining = groups.bounds[1:].repeat(groups.sizes) - starts
    for n in ORDERS:
        fitting = nonzero_indices(remaining[starts] >= n)
        starts = starts[fitting]
        hashes = extend_ngrams(hashes[fitting], words[starts + n - 1])
        repeated, counts = _repeated(hashes)
        starts, hashes = starts[repeated], hashes[repeated]
        yield Ngrams(n, starts, hashes, edges[starts + n] - edges[starts], counts)


def _repeated(hashes: Hashes) -> tuple[Positions, Positions]:
    """Return the elements whose value occurs more than once in the array, and how often it does.

    Only the elements that share the highest bits with another are sorted.
    """
    bits = min(len(hashes).bit_length() + 2, MAX_BUCKET_BITS)
    buckets = (hashes >> np.uint64(64 - bits)).astype(np.int64)
    candidates = nonzero_indices(np.bincount(buckets, minlength=1 << bits)[buckets] > 1)
    values = hashes[candidates]
    order = values.argsort()
    edges = changes(values[order])
    sizes = np.append(edges[1:], len(values)) - edges
    counts = np.empty(len(values), np.int64)
    counts[order] = sizes.repeat(sizes)
    repeated = nonzero_indices(counts > 1)
    return candidates[repeated], counts[repeated]

"""Repeated n-grams, for every project, and repeated items as Dolma and DCLM count them.

Dolma and DCLM count every copy of a repeated item, including the first, unlike datatrove (``gopher.py``).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.analysis import Hashes, Positions, extend_ngrams, nonzero_indices

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


def repeated_ngrams(words: Hashes, edges: Positions) -> Iterator[Ngrams]:
    """Yield the repeated n-grams of 2 to 10 words, for each n.

    ``edges``: cumulative characters before each word and in all, ``len(words) + 1`` elements. An n-gram can
    only repeat where its first n − 1 words do, so that each step inspects fewer positions.
    """
    starts, hashes = np.arange(len(words)), words
    for n in ORDERS:
        fitting = starts.searchsorted(len(words) - n, "right")
        starts = starts[:fitting]
        hashes = extend_ngrams(hashes[:fitting], words[starts + n - 1])
        counts = _occurrences(hashes)
        repeated = nonzero_indices(counts > 1)
        starts, hashes = starts[repeated], hashes[repeated]
        yield Ngrams(n, starts, hashes, edges[starts + n] - edges[starts], counts[repeated])


def _occurrences(hashes: Hashes) -> Positions:
    """Return, for each element, how often its value occurs in the array."""
    order = hashes.argsort()
    ordered = hashes[order]
    is_first = np.ones(len(hashes) + 1, np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:-1])
    edges = nonzero_indices(is_first)
    sizes = edges[1:] - edges[:-1]
    counts = np.empty(len(hashes), np.int64)
    counts[order] = sizes.repeat(sizes)
    return counts

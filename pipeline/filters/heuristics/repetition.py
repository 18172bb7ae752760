"""What repeats in a text: n-grams, as every project finds them, and items of which every copy counts.

That the first copy counts too is how the tools of Dolma and DCLM count, unlike datatrove (``gopher.py``).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.analysis import Hashes, Positions, extend_ngrams, nonzero_indices

ORDERS, TOP_ORDERS = range(2, 11), range(2, 5)
"""Words of all n-grams that are looked at, and of those of which the most frequent one counts."""


@dataclass(frozen=True, slots=True, eq=False)
class Ngrams:
    """Those n-grams of a text that occur several times, in text order; an element for each occurrence."""

    n: int
    places: Positions
    """The first word."""
    hashes: Hashes
    sizes: Positions
    """Characters in its words."""
    counts: Positions
    """How often it occurs."""


def count_repeated(items: Sequence[str]) -> tuple[int, int]:
    """How many items are equal to another one, and the characters in them."""
    several = [(item, count) for item, count in Counter(items).items() if count > 1]
    return sum(count for _, count in several), sum(len(item) * count for item, count in several)


def word_lengths(words: Sequence[str]) -> Positions:
    """Characters of each word."""
    return np.fromiter(map(len, words), np.int64, len(words))


def exact_ids(words: Sequence[str]) -> Hashes:
    """A number for each word, the same for equal ones: hashes that are known not to collide."""
    numbers: dict[str, int] = {}
    return np.fromiter((numbers.setdefault(word, len(numbers)) for word in words), np.uint64, len(words))


def repeated_ngrams(words: Hashes, edges: Positions) -> Iterator[Ngrams]:
    """The repeated n-grams of 2 to 10 words; ``edges``: the characters in the words before each, and in all.

    An n-gram can only repeat where its first n − 1 words do, so that each order looks at fewer places.
    """
    places, hashes = np.arange(len(words)), words
    for n in ORDERS:
        fitting = places.searchsorted(len(words) - n, "right")
        places = places[:fitting]
        hashes = extend_ngrams(hashes[:fitting], words[places + n - 1])
        counts = _occurrences(hashes)
        several = nonzero_indices(counts > 1)
        places, hashes = places[several], hashes[several]
        yield Ngrams(n, places, hashes, edges[places + n] - edges[places], counts[several])


def _occurrences(hashes: Hashes) -> Positions:
    """How often each element occurs among all."""
    order = hashes.argsort()
    ordered = hashes[order]
    begins = np.ones(len(hashes) + 1, np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:-1])
    edges = nonzero_indices(begins)
    sizes = edges[1:] - edges[:-1]
    counts = np.empty(len(hashes), np.int64)
    counts[order] = sizes.repeat(sizes)
    return counts

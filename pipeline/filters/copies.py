"""Repetition where every copy counts, the first among them, and words are what white space separates.

That is how the tools of Dolma and DCLM count, unlike datatrove; ``dolma.py`` and ``dclm.py`` share this.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.analysis import Hashes, Positions, lengthen

ORDERS = range(2, 11)


@dataclass(frozen=True, slots=True, eq=False)
class Ngrams:
    """Those n-grams of a text that occur several times, in text order; an element for each occurrence."""

    n: int
    places: Positions
    """The first word."""
    sizes: Positions
    """Characters in its words."""
    counts: Positions
    """How often it occurs."""


def copied(items: Sequence[str]) -> tuple[int, int]:
    """How many items are equal to another one, and the characters in them."""
    several = [(item, count) for item, count in Counter(items).items() if count > 1]
    return sum(count for _, count in several), sum(len(item) * count for item, count in several)


def lengths(words: Sequence[str]) -> Positions:
    """Characters of each word."""
    return np.fromiter(map(len, words), np.int64, len(words))


def repeated_ngrams(words: Sequence[str], edges: Positions) -> Iterator[Ngrams]:
    """The repeated n-grams of 2 to 10 words; ``edges``: the characters in the words before each, and in all.

    An n-gram can only repeat where its first n − 1 words do, so that each order looks at fewer places.
    """
    numbers: dict[str, int] = {}
    tokens = np.fromiter((numbers.setdefault(word, len(numbers)) for word in words), np.uint64, len(words))
    places, hashes = np.arange(len(tokens)), tokens
    for n in ORDERS:
        fitting = places.searchsorted(len(tokens) - n, "right")
        places = places[:fitting]
        hashes = lengthen(hashes[:fitting], tokens[places + n - 1])
        counts = _occurrences(hashes)
        several = counts > 1
        places, hashes = places[several], hashes[several]
        yield Ngrams(n, places, edges[places + n] - edges[places], counts[several])


def _occurrences(hashes: Hashes) -> Positions:
    """How often each element occurs among all."""
    ordered = np.sort(hashes)
    counts: Positions = ordered.searchsorted(hashes, "right") - ordered.searchsorted(hashes, "left")
    return counts

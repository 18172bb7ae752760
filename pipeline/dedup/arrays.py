"""Operations on arrays of hashes: membership, and sums over pairs."""

import numpy as np

from core.hashing import Hashes
from pipeline.analysis.arrays import Flags, Positions, changes

Pairs = tuple[Hashes, Positions, Positions]
"""Pairs of a hash and a number, ordered and distinct, and a number for each pair."""


def contains(ordered: Hashes, hashes: Hashes) -> Flags:
    """Return for each hash whether it is in a sorted array."""
    if not len(ordered):
        return np.zeros(len(hashes), np.bool_)
    found: Flags = ordered[np.minimum(ordered.searchsorted(hashes), len(ordered) - 1)] == hashes
    return found


def sum_pairs(hashes: Hashes, numbers: Positions, weights: Positions) -> Pairs:
    """Return the distinct pairs of ``hashes`` and ``numbers``, with the sum of the weights of each."""
    order = np.lexsort((numbers, hashes))
    hashes, numbers, weights = hashes[order], numbers[order], weights[order]
    first = changes(hashes, numbers)
    sums = np.add.reduceat(weights, first) if len(first) else weights
    return hashes[first], numbers[first], sums


def count_pairs(hashes: Hashes, numbers: Positions) -> Pairs:
    """Return the distinct pairs, with the number of times that each occurs."""
    return sum_pairs(hashes, numbers, np.ones(len(hashes), np.int64))

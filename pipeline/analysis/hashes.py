"""64-bit hashes of spans of text, all from one pass over its code points.

A span's hash is a polynomial over its code points modulo 2**64 (Karp and Rabin 1987), computed from prefix
sums: with ``P[i] = Σ_{j<i} (c[j] + 1) · B**j``, a span's value is ``(P[end] − P[start]) · B**−start``, mixed
by the finalizer of SplitMix64 (Steele et al. 2014). A hash depends on the text of its span only, not on the
machine, the process or the position.
"""

from collections.abc import Collection
from functools import cache

import numpy as np
from numpy.typing import NDArray

from core.hashing import Hashes, mix
from pipeline.analysis.arrays import Groups, Positions

BASE = 0x9E3779B97F4A7C15
"""Odd, hence invertible modulo 2**64."""


def prefix_sums(codes: NDArray[np.unsignedinteger]) -> Hashes:
    """Return ``P`` of the module's docstring: one element more than there are code points."""
    powers, _ = _powers(max(len(codes).bit_length(), 12))
    sums = np.zeros(len(codes) + 1, np.uint64)
    ((codes + np.uint64(1)) * powers[: len(codes)]).cumsum(out=sums[1:])
    return sums


def span_values(prefix: Hashes, starts: Positions, ends: Positions) -> Hashes:
    """Return the polynomial value of each span, unmixed: equal spans have equal values."""
    _, inverses = _powers(max((len(prefix) - 1).bit_length(), 12))
    return (prefix[ends] - prefix[starts]) * inverses[starts]


def span_hashes(prefix: Hashes, starts: Positions, ends: Positions) -> Hashes:
    """Return the hash of each span."""
    return mix(span_values(prefix, starts, ends))


def suffix_hashes(data: bytes, starts: Collection[int]) -> Hashes:
    """Return the hashes of the suffixes of ASCII bytes that begin at ``starts``. For short inputs."""
    value, values = 0, []
    for position in range(len(data) - 1, -1, -1):
        value = (data[position] + 1 + value * BASE) & 0xFFFFFFFFFFFFFFFF
        if position in starts:
            values.append(value)
    return mix(np.array(values[::-1], np.uint64))


def ngram_hashes(hashes: Hashes, n: int) -> Hashes:
    """Return one hash for every ``n`` successive elements: ``max(len(hashes) − n + 1, 0)`` of them.

    About ``log2(n)`` steps: n-grams are joined to n-grams of twice the length.
    """
    result, order = hashes, 1
    for bit in bin(n)[3:]:
        factor = np.uint64(pow(BASE, order, 1 << 64))
        result = result[: max(len(result) - order, 0)] * factor + result[order:]
        order *= 2
        if bit == "1":
            result = extend_ngrams(result[: max(len(result) - 1, 0)], hashes[order:])
            order += 1
    return result


def extend_ngrams(ngrams: Hashes, following: Hashes) -> Hashes:
    """Return the hashes of n-grams, each extended by the element that follows it."""
    return ngrams * np.uint64(BASE) + following


def grouped_hashes(hashes: Hashes, groups: Groups) -> Hashes:
    """Return hashes that are equal where two elements of one group have equal hashes; in others they differ.

    N-grams of the result can be compared in the same way.
    """
    # Of the complement, since the mixed number itself is the hash of a string of one character.
    added = mix(~np.arange(len(groups.bounds) - 1, dtype=np.uint64))
    return hashes + added.repeat(groups.sizes)


@cache
def _powers(bits: int) -> tuple[Hashes, Hashes]:
    """Return ``B**i`` and ``B**−i`` modulo 2**64 for ``i`` up to ``2**bits``."""

    def powers_of(base: int) -> Hashes:
        factors = np.full((1 << bits) + 1, base, np.uint64)
        factors[0] = 1
        return np.multiply.accumulate(factors)

    return powers_of(BASE), powers_of(pow(BASE, -1, 1 << 64))

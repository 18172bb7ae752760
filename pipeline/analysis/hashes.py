"""64-bit hashes of stretches of text, all from one pass over its code points.

A span's hash is a polynomial over its code points modulo 2**64 (Karp and Rabin 1987), taken from prefix sums:
with ``P[i] = Σ_{j<i} (c[j] + 1) · B**j``, a span's value is ``(P[end] − P[start]) · B**−start``, mixed by the
finalizer of SplitMix64 (Steele et al. 2014). The hashes depend on the text alone: not on machine, process or
position.
"""

from collections.abc import Collection
from functools import cache

import numpy as np
from numpy.typing import NDArray

from core.hashing import Hashes, mix

Codes = NDArray[np.uint32]
Positions = NDArray[np.int64]

BASE = 0x9E3779B97F4A7C15
"""Odd, hence invertible modulo 2**64."""


def where(flags: NDArray[np.generic]) -> Positions:
    """Where flags are set, or numbers are not 0. On short arrays NumPy's wrappers cost more."""
    return flags.nonzero()[0]


def code_points(text: str) -> Codes:
    """The text's code points, lone surrogates included."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def prefix_sums(codes: NDArray[np.unsignedinteger]) -> Hashes:
    """``P`` of the module's docstring: one element more than there are code points."""
    powers, _ = _powers(max(len(codes).bit_length(), 12))
    sums = np.zeros(len(codes) + 1, np.uint64)
    ((codes + np.uint64(1)) * powers[: len(codes)]).cumsum(out=sums[1:])
    return sums


def span_values(prefix: Hashes, starts: Positions, ends: Positions) -> Hashes:
    """What spans hash to before they are mixed: equal for equal spans, but alike for similar ones."""
    _, inverses = _powers(max((len(prefix) - 1).bit_length(), 12))
    return (prefix[ends] - prefix[starts]) * inverses[starts]


def span_hashes(prefix: Hashes, starts: Positions, ends: Positions) -> Hashes:
    """The hash of each span."""
    return mix(span_values(prefix, starts, ends))


def hashes_to_the_end(data: bytes, starts: Collection[int]) -> Hashes:
    """The hashes of what stands from each of these places to the end of ASCII bytes; for a few bytes."""
    value, values = 0, []
    for place in range(len(data) - 1, -1, -1):
        value = (data[place] + 1 + value * BASE) & 0xFFFFFFFFFFFFFFFF
        if place in starts:
            values.append(value)
    return mix(np.array(values[::-1], np.uint64))


def ngram_hashes(hashes: Hashes, n: int) -> Hashes:
    """One hash for every ``n`` successive elements: ``len(hashes) − n + 1`` of them, none if fewer."""
    result = hashes
    for order in range(2, n + 1):
        result = lengthen(result[: max(len(hashes) - order + 1, 0)], hashes[order - 1 :])
    return result


def lengthen(ngrams: Hashes, following: Hashes) -> Hashes:
    """The hashes of n-grams, each with the element that follows it appended."""
    return ngrams * np.uint64(BASE) + following


@cache
def _powers(bits: int) -> tuple[Hashes, Hashes]:
    """``B**i`` and ``B**−i`` modulo 2**64 for ``i`` up to ``2**bits``."""

    def of(base: int) -> Hashes:
        factors = np.full((1 << bits) + 1, base, np.uint64)
        factors[0] = 1
        return np.multiply.accumulate(factors)

    return of(BASE), of(pow(BASE, -1, 1 << 64))

"""MinHash signatures: the LSH keys of a batch of documents, and the shingles by which they are compared.

Documents whose shingle sets have Jaccard similarity s share at least one of b bands of r rows with
probability 1 - (1 - s^r)^b (Broder 1997; Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, ch. 3).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from core.hashing import GOLDEN, Hashes, mix
from pipeline.analysis.arrays import Positions, changes
from pipeline.analysis.normalized import NormalizedWords
from pipeline.dedup.parameters import Parameters

Keys = NDArray[np.int64]
MAX_MINHASHES = 1 << 16
"""MinHashes that are computed at once: ``rensa`` returns them as Python integers, 3 MB for so many."""


class Signature(NamedTuple):
    """Signature of one document."""

    keys: Keys
    """int64[bands], or empty for a text shorter than a shingle, which is only compared exactly."""
    shingles: bytes
    """The distinct shingle hashes, uint32 in ascending order."""


def signatures(words: NormalizedWords, parameters: Parameters) -> list[Signature]:
    """Return the signature of every text, about 30 µs for 250 words and 112 permutations.

    Two texts have the same key at band ``i`` if and only if all rows of that band are equal, up to 64-bit
    collisions. Equal rows in different bands have different keys. The shingles are stored as 32-bit hashes:
    among 1,000 of them, one pair collides with probability 10^-4.
    """
    counts = np.maximum(np.diff(words.offsets) - parameters.shingle + 1, 0)
    ends = np.concatenate([[0], counts.cumsum()])
    hashes = _shingles(words, parameters.shingle, counts, ends)
    long_enough = counts.nonzero()[0]
    keys = np.empty((len(counts), 0), np.int64)
    if len(long_enough):
        keys = _band_keys(hashes, ends[[0, *(long_enough + 1)]], parameters)
    stored = _distinct(hashes, counts, ends)
    result = [Signature(np.empty(0, np.int64), b"")] * len(counts)
    for row, index in enumerate(long_enough.tolist()):
        result[index] = Signature(keys[row], stored[index])
    return result


def _shingles(words: NormalizedWords, size: int, counts: Positions, ends: Positions) -> Hashes:
    """Return the hashes of all shingles of all texts in order; ``counts`` and ``ends`` are per text."""
    positions = np.arange(ends[-1]) + np.repeat(words.offsets[:-1] - ends[:-1], counts)
    combined = np.zeros(len(words.hashes), np.uint64)[: max(len(words.hashes) - size + 1, 0)]
    for offset in range(size):
        combined = mix(combined + GOLDEN) ^ words.hashes[offset : offset + len(combined)]
    shingles: Hashes = mix(combined)[positions]
    return shingles


def _band_keys(hashes: Hashes, ends: Positions, parameters: Parameters) -> Keys:
    """Return int64[texts, bands] for texts whose shingles lie between successive ``ends``."""
    number = max(MAX_MINHASHES // parameters.permutations, 1)
    slices = [ends[start : start + number + 1] for start in range(0, len(ends) - 1, number)]
    return np.concatenate([_slice_keys(hashes, each, parameters) for each in slices])


def _slice_keys(hashes: Hashes, ends: Positions, parameters: Parameters) -> Keys:
    """Return the keys of at most ``MAX_MINHASHES`` MinHashes, or of one text."""
    digests = RMinHash.digest_matrix_from_flat_token_hashes(
        hashes[ends[0] : ends[-1]],
        (ends - ends[0]).astype(np.uint64),
        parameters.permutations,
        parameters.seed,
    )
    minima = np.asarray(digests.to_rows(), dtype=np.uint64)
    rows = minima.reshape(len(ends) - 1, parameters.bands, parameters.rows)
    keys = np.broadcast_to(np.arange(1, parameters.bands + 1, dtype=np.uint64) * GOLDEN, rows.shape[:2])
    for position in range(parameters.rows):
        keys = mix(keys ^ rows[:, :, position]) + GOLDEN
    return keys.view(np.int64)


def _distinct(hashes: Hashes, counts: Positions, ends: Positions) -> list[bytes]:
    """Return the distinct upper halves of each text's hashes, sorted, as the bytes of uint32."""
    texts = np.repeat(np.arange(len(counts), dtype=np.uint64), counts)
    upper = hashes >> np.uint64(32)
    ordered = np.sort(texts << np.uint64(32) | upper)
    first = changes(ordered)
    distinct = ordered[first].astype(np.uint32)
    return [distinct[start:end].tobytes() for start, end in pairwise(first.searchsorted(ends).tolist())]


def joined_keys(keys: Sequence[int], number: int) -> list[int]:
    """Join each ``number`` successive bands into one key, so that only more similar documents share one.

    ``keys``: that of the text, which stays as it is, and those of the bands. Every key then stands for at
    least ``number`` bands, of which there must be as many.
    """
    if number == 1 or len(keys) <= 1:
        return list(keys)
    bands = np.array(keys[1:], np.int64).view(np.uint64)
    starts = np.arange(len(bands) // number) * number
    joined = np.full(len(starts), number, np.uint64)
    for offset in range(number):
        joined = mix(joined ^ bands[starts + offset]) + GOLDEN
    for band in bands[starts[-1] + number :]:  # those left over belong to the last key
        joined[-1:] = mix(joined[-1:] ^ band) + GOLDEN
    return [keys[0], *joined.view(np.int64).tolist()]

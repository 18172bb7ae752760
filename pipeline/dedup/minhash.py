"""MinHash signatures and their LSH bands, for batches of documents.

Documents whose shingle sets have Jaccard similarity s share at least one of b bands of r rows with
probability 1 - (1 - s^r)^b (Broder 1997; Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, ch. 3).
14 bands of 8 rows, FineWeb's choice, put the threshold of that curve at s = 0.72.
"""

from collections.abc import Sequence

import numpy as np
from rensa import RMinHash

from core.config import DedupConfig
from core.hashing import GOLDEN, Hashes, mix


def shingle_hashes(word_hashes: Hashes, shingle: int) -> Hashes:
    """Hash all shingles of ``shingle`` successive words. A shorter document is one shingle.

    ``word_hashes``: uint64[words] → uint64[max(1, words - shingle + 1)], empty if there are no words.
    Repeated shingles are kept, since they do not change a minimum.
    """
    size = min(shingle, len(word_hashes))
    if size == 0:
        return np.empty(0, dtype=np.uint64)
    count = len(word_hashes) - size + 1
    combined = np.zeros(count, dtype=np.uint64)
    for position in range(size):
        combined = mix(combined + GOLDEN) ^ word_hashes[position : position + count]
    return mix(combined)


def band_hashes(documents: Sequence[Hashes], settings: DedupConfig) -> list[list[int]]:
    """Return the band hashes (int64, ``settings.bands`` each) of documents, given their word hashes.

    Two documents have the same hash in band i if and only if all rows of that band are equal, up to 64-bit
    collisions. Equal rows in different bands hash differently. A document without words has no bands.
    """
    shingles = [shingle_hashes(words, settings.shingle) for words in documents]
    nonempty = [index for index, hashes in enumerate(shingles) if len(hashes)]
    result: list[list[int]] = [[] for _ in documents]
    if not nonempty:
        return result
    flat = np.concatenate([shingles[index] for index in nonempty])
    ends = np.cumsum([0, *(len(shingles[index]) for index in nonempty)], dtype=np.uint64)
    digests = RMinHash.digest_matrix_from_flat_token_hashes(
        flat, ends, settings.bands * settings.rows, settings.seed
    )
    signatures = np.asarray(digests.to_rows(), dtype=np.uint64)
    rows = signatures.reshape(len(nonempty), settings.bands, settings.rows)
    bands = np.broadcast_to(np.arange(1, settings.bands + 1, dtype=np.uint64) * GOLDEN, rows.shape[:2])
    for position in range(settings.rows):
        bands = mix(bands ^ rows[:, :, position]) + GOLDEN
    for index, hashes in zip(nonempty, bands.view(np.int64).tolist(), strict=True):
        result[index] = hashes
    return result

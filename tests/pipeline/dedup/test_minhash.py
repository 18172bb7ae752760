import numpy as np
from datasketch import MinHash
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.config import DedupConfig
from pipeline.dedup.minhash import band_hashes, shingle_hashes

words = hnp.arrays(np.uint64, st.integers(0, 60))


def _pair(similarity: float, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays of distinct hashes with the given Jaccard similarity."""
    random = np.random.default_rng(seed)
    shared = round(2 * size * similarity / (1 + similarity))
    drawn = random.integers(0, 2**63, size=2 * size - shared, dtype=np.uint64)
    return drawn[:size], np.concatenate([drawn[:shared], drawn[size:]])


def _share_of_equal_bands(similarity: float, trials: int) -> float:
    settings = DedupConfig(bands=100, rows=1, shingle=1)
    equal = 0
    for seed in range(trials):
        first, second = band_hashes(list(_pair(similarity, 300, seed)), settings)
        equal += sum(a == b for a, b in zip(first, second, strict=True))
    return equal / (100 * trials)


def test_single_row_bands_estimate_jaccard_similarity():
    """With one row per band, the share of equal bands estimates the similarity, as in datasketch."""
    for similarity in (0.3, 0.6, 0.9):
        first, second = (MinHash(num_perm=128, seed=1) for _ in range(2))
        for sketch, hashes in zip((first, second), _pair(similarity, 300, 0), strict=True):
            sketch.update_batch([int(h).to_bytes(8, "little") for h in hashes])
        ours = _share_of_equal_bands(similarity, 20)
        assert abs(ours - similarity) < 0.04
        assert abs(ours - first.jaccard(second)) < 0.15


def test_detection_rate_follows_bands_and_rows():
    settings = DedupConfig(shingle=1)
    for similarity in (0.5, 0.72, 0.9):
        documents = [hashes for seed in range(200) for hashes in _pair(similarity, 500, seed)]
        bands = band_hashes(documents, settings)
        found = sum(bool(set(bands[i]) & set(bands[i + 1])) for i in range(0, len(bands), 2)) / 200
        expected = 1 - (1 - similarity**settings.rows) ** settings.bands
        assert abs(found - expected) < 0.12


@given(st.lists(words, max_size=6))
def test_bands_do_not_depend_on_the_batch(documents):
    settings = DedupConfig()
    together = band_hashes(documents, settings)
    assert together == [band_hashes([document], settings)[0] for document in documents]
    for document, bands in zip(documents, together, strict=True):
        assert len(bands) == (settings.bands if len(document) else 0)


@given(words, st.integers(1, 7))
def test_shingles_are_word_ngrams(hashes, shingle):
    ngrams = [tuple(hashes[i : i + shingle]) for i in range(max(0, len(hashes) - shingle) + 1)]
    shingles = shingle_hashes(hashes, shingle)
    assert len(shingles) == (len(ngrams) if len(hashes) else 0)
    assert len(set(shingles.tolist())) == (len(set(ngrams)) if len(hashes) else 0)


def test_word_order_matters_and_shingle_order_does_not():
    hashes = np.arange(100, dtype=np.uint64)
    assert band_hashes([hashes], DedupConfig()) != band_hashes([hashes[::-1]], DedupConfig())
    twice = np.concatenate([hashes, hashes])
    assert band_hashes([twice], DedupConfig(shingle=1)) == band_hashes([hashes], DedupConfig(shingle=1))


def test_equal_rows_in_different_bands_hash_differently():
    bands = band_hashes([np.zeros(3, dtype=np.uint64)], DedupConfig(bands=50, rows=1))[0]
    assert len(set(bands)) == 50

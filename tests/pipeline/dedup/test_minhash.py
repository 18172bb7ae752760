import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given
from hypothesis import strategies as st

from core.config import DedupConfig
from pipeline.analysis.normalized import normalized_words
from pipeline.dedup.minhash import Signature, joined_keys, signatures
from pipeline.dedup.parameters import parameters
from pipeline.dedup.survivors import jaccard

TEXTS = st.lists(st.text("ab 漢\n1.", max_size=60), max_size=6)


def sign(texts: list[str], **settings: int) -> list[Signature]:
    return signatures(normalized_words(texts), parameters(DedupConfig(**settings)))


def _pair(similarity: float, size: int, seed: int) -> list[str]:
    """Return two texts whose sets of words have the given Jaccard similarity."""
    random = np.random.default_rng(seed)
    shared = round(2 * size * similarity / (1 + similarity))
    letters = str.maketrans("0123456789", "ghijklmnop")  # digits would be normalized
    numbers = random.integers(0, 2**62, size=2 * size - shared).tolist()
    words = [f"{number:x}".translate(letters) for number in numbers]
    return [" ".join(words[:size]), " ".join([*words[:shared], *words[size:]])]


def test_single_row_bands_estimate_jaccard_similarity():
    """With one row per band, the share of equal bands estimates the similarity, as in datasketch."""
    for similarity in (0.3, 0.6, 0.9):
        equal = 0
        for seed in range(20):
            first, second = sign(_pair(similarity, 300, seed), bands=100, rows=1, shingle=1)
            equal += int((first.keys == second.keys).sum())
        sketches = [MinHash(num_perm=128, seed=1) for _ in range(2)]
        for sketch, text in zip(sketches, _pair(similarity, 300, 0), strict=True):
            sketch.update_batch([word.encode() for word in text.split()])
        assert abs(equal / 2000 - similarity) < 0.04
        assert abs(equal / 2000 - sketches[0].jaccard(sketches[1])) < 0.15


def test_detection_rate_follows_bands_and_rows():
    for similarity in (0.5, 0.72, 0.9):
        texts = [text for seed in range(200) for text in _pair(similarity, 500, seed)]
        found = sign(texts, shingle=1)
        pairs = zip(found[::2], found[1::2], strict=True)
        rate = sum(bool((one.keys == other.keys).any()) for one, other in pairs) / 200
        assert abs(rate - (1 - (1 - similarity**8) ** 14)) < 0.12


@given(TEXTS, st.integers(1, 4))
def test_signatures_do_not_depend_on_the_batch(texts, shingle):
    together = sign(texts, bands=4, rows=2, shingle=shingle)
    for text, signature in zip(texts, together, strict=True):
        (alone,) = sign([text], bands=4, rows=2, shingle=shingle)
        assert alone.keys.tolist() == signature.keys.tolist() and alone.shingles == signature.shingles


@given(TEXTS, st.sampled_from([1, 8, 20]))
def test_signatures_do_not_depend_on_the_slices(texts, minhashes):
    together = sign(texts, bands=4, rows=2, shingle=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.dedup.minhash.MAX_MINHASHES", minhashes)
        sliced = sign(texts, bands=4, rows=2, shingle=1)
    assert [each.keys.tolist() for each in sliced] == [each.keys.tolist() for each in together]


@given(TEXTS, st.integers(1, 4))
def test_shingles_are_the_distinct_word_ngrams(texts, size):
    words = normalized_words(texts)
    for index, signature in enumerate(sign(texts, bands=4, rows=2, shingle=size)):
        hashes = words.of_text(index).tolist()
        ngrams = {tuple(hashes[start : start + size]) for start in range(len(hashes) - size + 1)}
        stored = np.frombuffer(signature.shingles, np.uint32)
        assert len(stored) == len(ngrams) and (np.diff(stored.astype(np.int64)) > 0).all()
        assert len(signature.keys) == (4 if ngrams else 0)


def test_stored_shingles_give_the_true_similarity():
    for similarity in (0.0, 0.25, 0.8, 1.0):
        signed = sign(_pair(similarity, 400, 3), shingle=1)
        one, other = (np.frombuffer(each.shingles, np.uint32) for each in signed)
        assert abs(jaccard(one, other) - similarity) < 0.003


def test_word_order_matters_and_repetition_does_not():
    text = " ".join("ab" * length for length in range(1, 100))
    backwards = " ".join(reversed(text.split()))
    assert sign([text])[0].shingles != sign([backwards])[0].shingles
    once, twice = sign([text, f"{text} {text}"], shingle=1)
    assert once.shingles == twice.shingles and once.keys.tolist() == twice.keys.tolist()


def test_equal_rows_in_different_bands_have_different_keys():
    (signature,) = sign(["word"], bands=50, rows=1, shingle=1)
    assert len(set(signature.keys.tolist())) == 50


@given(st.integers(1, 30), st.integers(1, 8), st.data())
def test_joined_keys_are_equal_if_and_only_if_all_their_bands_are(bands, number, data):
    number = min(number, bands)
    keys = st.lists(st.integers(0, 2), min_size=bands + 1, max_size=bands + 1)
    one, other = data.draw(keys), data.draw(keys)
    joined = joined_keys(one, number), joined_keys(other, number)
    assert len(joined[0]) == bands // number + 1 and joined[0][0] == one[0]
    groups = [range(1 + start * number, 1 + (start + 1) * number) for start in range(bands // number)]
    groups[-1] = range(groups[-1].start, bands + 1)
    for first, second, group in zip(joined[0][1:], joined[1][1:], groups, strict=True):
        assert (first == second) == all(one[band] == other[band] for band in group)

from functools import partial
from itertools import chain

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dedup.arrays import contains
from pipeline.dedup.batches import text_batches
from pipeline.dedup.cuts import DocumentSpans
from pipeline.dedup.substrings import _sliding, find_anchors, find_windows, find_words
from tests.pipeline.dedup import oracle

WORDS = ["a", "b", "a.", "甲", "甲乙", "乙c", "ก\u0301", "A", "c\u0301"]
word = st.sampled_from(WORDS)
space = st.sampled_from([" ", "\n", "  ", "\n\n", "\u3000"])


@st.composite
def texts(draw, vocabulary=word):
    """A list of texts that share passages."""
    passages = draw(st.lists(st.lists(vocabulary, min_size=1, max_size=8), min_size=1, max_size=4))
    drawn = []
    for _ in range(draw(st.integers(1, 5))):
        parts = draw(
            st.lists(st.one_of(st.sampled_from(passages), st.lists(vocabulary, max_size=3)), max_size=5)
        )
        drawn.append("".join(each + draw(space) for part in parts for each in part))
    return drawn


def _excluded(batch, excluded):
    """Return the spans of each text as offsets of the batch."""
    rows = [(number, *span) for number, spans in sorted(excluded.items()) for span in spans]
    rows = [row for row in rows if 0 <= row[0] - batch.first < len(batch.starts)]
    documents, starts, ends = np.array(rows, np.int64).reshape(-1, 3).T
    offsets = batch.offsets(documents)
    return DocumentSpans(documents, starts + offsets, ends + offsets)


def _repeated(texts, size, excluded, characters=40):
    """Find the repeated passages as Spark does. A text's id is its number."""
    batches = list(text_batches(texts, characters))
    anchors = np.concatenate([find_anchors(each, _excluded(each, excluded), size) for each in batches])
    values, documents = np.unique(anchors, return_counts=True)
    is_shared = partial(contains, values[documents > 1])
    found = [find_windows(each, _excluded(each, excluded), size, is_shared) for each in batches]
    columns = ("documents", "starts", "ends", "hashes", "checks")
    rows = list(zip(*(np.concatenate([getattr(w, c) for w in found]).tolist() for c in columns), strict=True))
    first = {}
    for document, _, _, *hashes in rows:
        first[*hashes] = min(first.get(tuple(hashes), document), document)
    result: dict[int, list[oracle.Interval]] = {}
    for document, start, end, *hashes in rows:
        if first[*hashes] < document:
            result.setdefault(document, []).append((start, end))
    return {document: oracle.merge(spans) for document, spans in result.items()}


@given(texts(), st.integers(1, 9), st.integers(1, 60))
def test_passages_equal_those_found_by_brute_force(texts, size, characters):
    expected = oracle.repeated_passages(dict(enumerate(texts)), size, {})
    assert _repeated(texts, size, {}, characters) == expected


@given(texts(), st.integers(1, 5), st.data())
def test_windows_do_not_cross_excluded_spans(texts, size, data):
    excluded = {}
    for number, text in enumerate(texts):
        lines = [span for span in oracle.lines(text, 1) if data.draw(st.booleans())]
        excluded[number] = lines
    expected = oracle.repeated_passages(dict(enumerate(texts)), size, excluded)
    assert _repeated(texts, size, excluded) == expected


@given(texts())
def test_words_equal_those_found_by_brute_force(texts):
    for batch in text_batches(texts, 30):
        none = np.zeros(0, np.int64)
        words = find_words(batch, DocumentSpans(none, none, none))
        documents = batch.documents(words.starts)
        offsets = batch.offsets(documents)
        found = list(zip(documents, words.starts - offsets, words.ends - offsets, strict=True))
        numbers = range(batch.first, batch.first + len(batch.starts))
        assert found == [(number, *span) for number in numbers for span in oracle.words(texts[number])]


@given(st.lists(st.integers(0, 99)), st.integers(1, 40))
def test_sliding_minimum(values, size):
    expected = [min(values[start : start + size]) for start in range(len(values) - size + 1)]
    assert _sliding(np.array(values, np.uint64), size, np.minimum).tolist() == expected


@given(texts(), st.integers(1, 5))
def test_a_document_has_an_anchor_once(texts, size):
    """The number of rows of an anchor is the number of its documents."""
    none = DocumentSpans(*np.zeros((3, 0), np.int64))
    (together,) = text_batches(texts, 10**6)
    apart = [find_anchors(batch, none, size).tolist() for batch in text_batches(texts, 1)]
    assert all(len(set(anchors)) == len(anchors) for anchors in apart)
    assert sorted(find_anchors(together, none, size).tolist()) == sorted(chain(*apart))


def test_anchors_are_sparse():
    """Their expected number is 2 / (w + 1) per word, where w is the number of k-word windows in a window."""
    random = np.random.default_rng(1)
    text = " ".join(map(str, random.integers(0, 2**40, 50_000).tolist()))
    batch = next(text_batches([text]))
    none = np.zeros(0, np.int64)
    anchors = find_anchors(batch, DocumentSpans(none, none, none), 50)
    assert abs(len(anchors) / 50_000 * (35 + 1) / 2 - 1) < 0.05


def test_only_shared_passages_are_hashed_in_full():
    """Two documents of 1,000 words share 60: no more windows than these have are candidates."""
    random = np.random.default_rng(2)
    first, second = (list(map(str, random.integers(0, 2**40, 1000).tolist())) for _ in range(2))
    second[300:360] = first[100:160]
    texts = [" ".join(first), " ".join(second)]
    batch = next(text_batches(texts))
    none = DocumentSpans(*np.zeros((3, 0), np.int64))
    values, documents = np.unique(find_anchors(batch, none, 50), return_counts=True)
    windows = find_windows(batch, none, 50, partial(contains, values[documents > 1]))
    assert len(np.unique(windows.hashes)) <= 60
    start = texts[1].index(second[300])
    passage = " ".join(second[300:360])
    assert _repeated(texts, 50, {}, 10**6) == {1: [(start, start + len(passage))]}

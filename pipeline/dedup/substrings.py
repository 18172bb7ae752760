"""Passages of at least n words that several documents have in common, word for word.

Every n successive words of a document are a **window**. Its **anchor** is the least hash of the k-word
windows inside it (winnowing: Schleimer, Wilkerson, Aiken 2003), a function of the window's words alone: equal
windows have equal anchors. Successive windows mostly share their anchor, so that a document has about
2 / (n - k + 2) different anchors per word. Only windows whose anchor occurs in several documents can be
repeated; only those are hashed in full, twice with 64 bits, and compared by hash. Of N different windows, any
two have equal hashes with a probability of about N**2 / 2**129: 10**-15 for 10**12 windows.

A window is cut from a document if a document with a smaller id contains it, too. Thus the first document
keeps the passage, and of every cut word a copy remains in an earlier document.

Words are compared exactly. They are the parts between white space, with punctuation; a letter of a script
without spaces (Han, Kana, Thai, Lao, Khmer, Burmese) is a word of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.hashing import Hashes, mix
from pipeline.analysis.arrays import Flags, Positions, changes, nonzero_indices
from pipeline.analysis.characters import UNSPACED
from pipeline.analysis.hashes import extend_ngrams, prefix_sums, span_hashes
from pipeline.analysis.segments import unspaced_boundaries
from pipeline.dedup.arrays import count_pairs
from pipeline.dedup.batches import TextBatch
from pipeline.dedup.cuts import DocumentSpans


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """The words of a batch that are not excluded, in order. Offsets are those of the batch."""

    starts: Positions
    ends: Positions
    runs: Positions
    """Windows lie within one run: successive words of a document with nothing excluded between them."""

    def window_starts(self, size: int) -> Positions:
        """Return the number of the first word of each window of ``size`` words."""
        return nonzero_indices(self.runs[size - 1 :] == self.runs[: max(len(self.runs) - size + 1, 0)])


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Windows of n words. Offsets are those of their document."""

    documents: Positions
    """Number of the document of each window."""
    starts: Positions
    ends: Positions
    hashes: Hashes
    checks: Hashes
    """Second hash, independent of the first."""


def find_words(batch: TextBatch, excluded: DocumentSpans) -> Words:
    """Return the words outside ``excluded``, spans that begin and end between words."""
    starts, ends = batch.segments.starts, batch.segments.ends
    if (batch.classes & UNSPACED).any():
        inside = unspaced_boundaries(batch.classes)
        starts, ends = (np.unique(np.concatenate([edges, inside])) for edges in (starts, ends))
    gaps = excluded.starts.searchsorted(starts, "right")
    runs = gaps + batch.documents(starts)
    if not len(excluded):
        return Words(starts, ends, runs)
    kept = (gaps == 0) | (starts >= excluded.ends[gaps - 1])
    return Words(starts[kept], ends[kept], runs[kept])


def anchor_words(window_words: int) -> int:
    """Return k for windows of ``window_words`` words: a third of them.

    Greater values find more anchors per document, smaller ones more windows that are not repeated.
    """
    return max(window_words // 3, 1)


def find_anchors(batch: TextBatch, excluded: DocumentSpans, size: int) -> Hashes:
    """Return the anchors of each document's windows of ``size`` words: none twice from a document."""
    words = find_words(batch, excluded)
    first = words.window_starts(size)
    anchors = _anchors(_word_hashes(batch, words), size)[first]
    documents = batch.documents(words.starts[first])
    kept = changes(anchors, documents)  # most are equal to the one before
    return count_pairs(anchors[kept], documents[kept])[0]


def find_windows(
    batch: TextBatch, excluded: DocumentSpans, size: int, is_shared: Callable[[Hashes], Flags]
) -> Windows:
    """Return the windows of ``size`` words that can be repeated: their anchor is shared by documents."""
    words = find_words(batch, excluded)
    first = words.window_starts(size)
    hashes = _word_hashes(batch, words)
    first = first[is_shared(_anchors(hashes, size)[first])]
    starts, ends = words.starts[first], words.ends[first + size - 1]
    documents = batch.documents(starts)
    offsets = batch.offsets(documents)
    checks = _sliding_hashes(_word_checks(batch, words), size)[first] if len(first) else hashes[:0]
    return Windows(documents, starts - offsets, ends - offsets, _sliding_hashes(hashes, size)[first], checks)


def _word_hashes(batch: TextBatch, words: Words) -> Hashes:
    return span_hashes(batch.prefix, words.starts, words.ends)


def _word_checks(batch: TextBatch, words: Words) -> Hashes:
    """Hash words by other coefficients: every code point is replaced by a hash of it."""
    return span_hashes(prefix_sums(mix(batch.codes.astype(np.uint64))), words.starts, words.ends)


def _anchors(hashes: Hashes, size: int) -> Hashes:
    """Return the anchor of every ``size`` successive words, across runs, too."""
    length = anchor_words(size)
    return _sliding(_sliding_hashes(hashes, length), size - length + 1, np.minimum)


def _sliding_hashes(hashes: Hashes, size: int) -> Hashes:
    """Return a hash of every ``size`` successive hashes."""
    return _sliding(hashes, size, lambda left, right: mix(extend_ngrams(left, right)))


def _sliding(values: Hashes, size: int, combine: Callable[[Hashes, Hashes], Hashes]) -> Hashes:
    """Combine every ``size`` successive values in about log2(size) steps, each of which doubles the width.

    The last step combines overlapping windows: ``combine`` is a minimum or a hash. Returns
    ``max(len(values) - size + 1, 0)`` values.
    """
    width = 1
    while 2 * width <= size:
        values = combine(values[:-width], values[width:])
        width *= 2
    if rest := size - width:
        values = combine(values[:-rest], values[rest:])
    return values

"""Pack documents into rows of fixed length.

- ``best-fit-decreasing`` (Ding et al. 2024, "Fewer Truncations Improve Language Modeling", arXiv:2404.10830):
  documents longer than a row are cut into segments, at the end of a paragraph or else of a sentence where a
  short document exactly fills the rest of the row. The other segments are assigned to rows by bin packing,
  the longest first, each to the fullest row with enough space. The unused rest of a row is padding, well
  below one per cent of real text.
- ``concatenate``: rows are cut from all documents one after another, as in GPT-2 and most trainers. Only the
  last row of a group of documents has padding.
- ``one-per-row``: every document begins a row of its own and is cropped to it.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from core.shards.format import Header, Rows, Spans, SplitName, dtype_for
from core.tokenizer import Tokenizer

Int64Array = npt.NDArray[np.int64]
Breaks = Callable[[npt.NDArray[np.unsignedinteger]], npt.NDArray[np.uint8]]
"""Returns for each token of a document how well it can be cut before it; 0: not at all."""

METHOD = "best-fit-decreasing"
"""The default method."""
CROPPING = "one-per-row"
"""The method that leaves out tokens."""
REPETITIONS = ((1000, 1), (100, 8), (5, 5), (3, 3), (2, 2))
"""Smallest number of duplicates that a document stands for, and how often it is then repeated, as in
FineWeb-2 (Penedo et al. 2025)."""


class Document(NamedTuple):
    """A document to pack."""

    document_id: bytes
    """16 bytes."""
    tokens: npt.NDArray[np.unsignedinteger]
    """All tokens, with bos, if the tokenizer has one, and eos."""
    copy: int = 0
    """Number of the copy, if the document is repeated."""


def tokenized_schema() -> pa.Schema:
    """Return the schema of tokenized documents, one row per document and copy of it.

    ``order`` is :func:`order_of` without its lowest bit. ``tokens`` are all tokens, with bos and eos, as
    bytes of the dtype :func:`core.shards.format.dtype_for`.
    """
    return pa.schema(
        [
            ("split", pa.string()),
            ("source", pa.string()),
            ("language", pa.string()),
            ("order", pa.int64()),
            ("document_id", pa.binary()),
            ("copy", pa.int32()),
            ("token_count", pa.int64()),
            ("tokens", pa.binary()),
        ]
    )


def tokenize(
    documents: pa.RecordBatch,
    tokenizer: Tokenizer,
    validation_share: float,
    *,
    rehydrate: bool = False,
) -> pa.RecordBatch:
    """Convert documents to rows of :func:`tokenized_schema`.

    ``documents`` has ``id``, ``text``, ``source``, ``language``, ``cluster`` and ``cluster_size``. With
    ``rehydrate``, those for training are repeated by their cluster sizes (:data:`REPETITIONS`).
    """
    dtype = dtype_for(tokenizer.vocabulary_size)
    bos = b"" if tokenizer.bos is None else np.array([tokenizer.bos], dtype).tobytes()
    eos = np.array([tokenizer.eos], dtype).tobytes()
    ids = [bytes.fromhex(each) for each in documents.column("id").to_pylist()]
    texts = documents.column("text").to_pylist()
    tokens = [bos + found.astype(dtype).tobytes() + eos for found in tokenizer.encode_batch(texts)]
    splits = [split_of(each, validation_share) for each in documents.column("cluster").to_pylist()]
    sizes = documents.column("cluster_size").to_pylist()
    times = [
        repetitions(size) if rehydrate and split == "train" else 1
        for split, size in zip(splits, sizes, strict=True)
    ]
    rows = [(index, copy) for index, number in enumerate(times) for copy in range(number)]
    chosen = pa.array([index for index, _ in rows], pa.int64())
    return pa.record_batch(
        {
            "split": [splits[index] for index, _ in rows],
            "source": documents.column("source").take(chosen),
            "language": documents.column("language").take(chosen),
            "order": [order_of(ids[index], copy) >> 1 for index, copy in rows],
            "document_id": [ids[index] for index, _ in rows],
            "copy": [copy for _, copy in rows],
            "token_count": [len(tokens[index]) // dtype.itemsize for index, _ in rows],
            "tokens": [tokens[index] for index, _ in rows],
        },
        schema=tokenized_schema(),
    )


def repetitions(cluster_size: int) -> int:
    """Return how often a document that stands for so many duplicates is repeated."""
    return next((times for smallest, times in REPETITIONS if cluster_size >= smallest), 1)


def split_of(cluster: str, validation_share: float) -> SplitName:
    """Return the split of a duplicate cluster, by its hash. Near-duplicates are always in the same split."""
    return "validation" if _hash64("split", cluster.encode()) < validation_share * 2.0**64 else "train"


def order_of(document_id: bytes, copy: int = 0) -> int:
    """Return the 64-bit sort key of a document or copy of it in the pseudo-random order; unsigned."""
    return _hash64("order", document_id + copy.to_bytes(1) * bool(copy))


def pack(documents: Iterable[Document], header: Header, breaks: Breaks | None = None) -> Rows:
    """Pack documents into rows of ``sequence_length + 1`` tokens by the header's method.

    ``breaks``, such as :meth:`core.shards.breaks.TextBreaks.before`, is used by best fit only; without it,
    long documents are cut into full rows. The result depends only on the
    set of documents: they are sorted by :func:`order_of`, then by id. Rows are sorted by their first
    document, so that consecutive rows are a representative sample.
    O(n log n + n · sequence_length / 64).
    """
    ordered = sorted(documents, key=lambda each: (order_of(each.document_id, each.copy), each.document_id))
    row_length = header.sequence_length + 1
    document, offset, length, row = _PLANS[header.packing](ordered, row_length, breaks)
    by_row = np.argsort(row, kind="stable")
    document, offset, length, row = document[by_row], offset[by_row], length[by_row], row[by_row]
    bounds = np.searchsorted(row, np.arange(row[-1] + 2 if len(row) else 1))
    before = np.cumsum(length) - length
    start = before - before[bounds[row]]

    tokens = np.full((len(bounds) - 1, row_length), header.pad, header.dtype)
    segments = zip(*(column.tolist() for column in (row, start, length, document, offset)), strict=True)
    for to_row, to, count, number, first in segments:
        tokens[to_row, to : to + count] = ordered[number].tokens[first : first + count]
    ids = np.frombuffer(b"".join(each.document_id for each in ordered), np.uint8).reshape(-1, 16)
    starts, span_lengths, offsets = (column.astype(np.int32) for column in (start, length, offset))
    return Rows(tokens, Spans(bounds.astype(np.int64), starts, span_lengths, ids[document], offsets))


def make_header(tokenizer: Tokenizer, *, sequence_length: int, corpus: str, method: str = METHOD) -> Header:
    """Return the header of shards that are packed with a tokenizer."""
    return Header(
        sequence_length=sequence_length,
        vocabulary_size=tokenizer.vocabulary_size,
        bos=tokenizer.bos,
        eos=tokenizer.eos,
        pad=tokenizer.pad,
        tokenizer_sha256=tokenizer.sha256,
        packing=method,
        corpus=corpus,
    )


_Segments = tuple[Int64Array, Int64Array, Int64Array]
"""Document, offset and length of each segment."""


class _Plan(NamedTuple):
    """Assignment of segments of documents to rows: four arrays with an element per segment."""

    document: Int64Array
    offset: Int64Array
    length: Int64Array
    row: Int64Array


def _plan_best_fit(documents: Sequence[Document], row_length: int, breaks: Breaks | None) -> _Plan:
    lengths = _lengths(documents)
    shortest = _fit(_segments(lengths, row_length, {}), row_length, [])
    long = np.flatnonzero(lengths > row_length).tolist()
    if not breaks or not long:
        return shortest
    places = {number: breaks(documents[number].tokens) for number in long}

    def plan(most_pairs: int) -> _Plan:
        cuts, pairs = _cut_at_breaks(lengths, row_length, places, most_pairs)
        segments = _segments(lengths, row_length, cuts)
        first = np.searchsorted(segments[0], np.arange(len(lengths)))
        shared = [(int(first[number]) + piece, int(first[other])) for number, piece, other in pairs]
        return _fit(segments, row_length, shared)

    # A short document beside a cut no longer fills another row: from some number of pairs on, rows are added.
    _, possible = _cut_at_breaks(lengths, row_length, places, len(lengths))
    numbers = range(1, len(possible) + 1)
    return plan(bisect_left(numbers, True, key=lambda number: plan(number).row.max() > shortest.row.max()))


def _fit(segments: _Segments, row_length: int, shared: Sequence[tuple[int, int]]) -> _Plan:
    """Assign segments to rows: ``shared`` are pairs that fill a row, the others are fitted."""
    row = np.full(len(segments[0]), -1, np.int64)
    for number, pair in enumerate(shared):
        row[list(pair)] = number
    others = row < 0
    row[others] = len(shared) + best_fit_decreasing(segments[2][others], row_length)
    return _Plan(*segments, _number_by_first_segment(row))


def _plan_concatenation(documents: Sequence[Document], row_length: int, _: Breaks | None) -> _Plan:
    lengths = _lengths(documents)
    ends = np.cumsum(lengths)
    first, total = ends - lengths, int(lengths.sum())
    starts = np.union1d(first, np.arange(0, total, row_length))
    document = np.searchsorted(first, starts, "right") - 1
    return _Plan(document, starts - first[document], np.diff(starts, append=total), starts // row_length)


def _plan_one_per_row(documents: Sequence[Document], row_length: int, _: Breaks | None) -> _Plan:
    document = np.arange(len(documents))
    return _Plan(document, np.zeros_like(document), np.minimum(_lengths(documents), row_length), document)


def _lengths(documents: Sequence[Document]) -> Int64Array:
    return np.array([len(each.tokens) for each in documents], np.int64)


_PLANS: Mapping[str, Callable[[Sequence[Document], int, Breaks | None], _Plan]] = MappingProxyType(
    {METHOD: _plan_best_fit, "concatenate": _plan_concatenation, CROPPING: _plan_one_per_row}
)


def best_fit_decreasing(lengths: Int64Array, capacity: int) -> Int64Array:
    """Return the row of each segment; no length may exceed ``capacity``.

    Segments of equal length are assigned in the given order. Of several rows with equal space, the most
    recently used one is taken. The available amounts of space are the set bits of one integer, so that the
    smallest sufficient one is found with a shift.
    """
    rows = np.empty(len(lengths), np.int64)
    rows_by_space: list[list[int]] = [[] for _ in range(capacity)]
    available = 0
    count = 0
    for segment in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[segment])
        sufficient = available >> length
        if sufficient:
            space = length + (sufficient & -sufficient).bit_length() - 1
            row = rows_by_space[space].pop()
            if not rows_by_space[space]:
                available ^= 1 << space
        else:
            space, row = capacity, count
            count += 1
        rows[segment] = row
        if left := space - length:
            rows_by_space[left].append(row)
            available |= 1 << left
    return rows


def _segments(lengths: Int64Array, row_length: int, cuts: Mapping[int, Int64Array]) -> _Segments:
    """Split documents into segments of at most a row: document, offset and length of each segment.

    ``cuts`` has the offsets of the segments of some documents; the others are cut into full rows.
    """
    counts = -(-lengths // row_length)
    for number, offsets in cuts.items():
        counts[number] = len(offsets)
    document = np.repeat(np.arange(len(lengths)), counts)
    first = np.cumsum(counts) - counts
    offset = (np.arange(len(document)) - first[document]) * row_length
    for number, offsets in cuts.items():
        offset[first[number] : first[number] + len(offsets)] = offsets
    end = np.append(offset[1:], 0)[: len(offset)]
    last = np.diff(document, append=-1) != 0
    end[last] = lengths[document[last]]
    return document, offset, end - offset


def _cut_at_breaks(
    lengths: Int64Array, row_length: int, places: Mapping[int, npt.NDArray[np.uint8]], most: int
) -> tuple[dict[int, Int64Array], list[tuple[int, int, int]]]:
    """Cut long documents where a short document exactly fills what a row then has left; else into full rows.

    ``places`` are their breaks, ``most`` is the largest number of such pairs. Returns the offsets of the long
    documents' segments; and of each pair the long document, the number of its segment, and the short one.
    """
    by_length: dict[int, list[int]] = {}
    for number in np.flatnonzero(lengths <= row_length // 2)[::-1].tolist():
        by_length.setdefault(int(lengths[number]), []).append(number)
    cuts: dict[int, Int64Array] = {}
    pairs: list[tuple[int, int, int]] = []
    for number, found in places.items():
        offsets = [0]
        while (end := offsets[-1] + row_length) < len(found):
            place = _best_place(found, end, row_length // 2, by_length) if len(pairs) < most else end
            if place < end:
                pairs.append((number, len(offsets) - 1, by_length[end - place].pop()))
            offsets.append(place)
        cuts[number] = np.array(offsets, np.int64)
    return cuts, pairs


def _best_place(
    found: npt.NDArray[np.uint8], end: int, within: int, by_length: Mapping[int, list[int]]
) -> int:
    """Return the last of the best breaks that are as far from ``end`` as a document is long, or ``end``."""
    places = end - np.flatnonzero(found[end : end - within - 1 : -1])
    for place in places[np.argsort(-found[places].astype(np.int64), kind="stable")].tolist():
        if place == end or by_length.get(end - place):
            return int(place)
    return end


def _number_by_first_segment(rows: Int64Array) -> Int64Array:
    """Renumber the rows in order of their first segments."""
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def _hash64(purpose: str, value: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(value, digest_size=8, person=purpose.encode()).digest(), "big")

"""Pack documents into fixed-length sequences by best-fit packing (Ding et al. 2024, "Fewer Truncations
Improve Language Modeling").

Documents longer than a row are split into full rows and a remainder. The segments are assigned to rows by
best-fit-decreasing bin packing: longest first, each to the fullest row with enough space. The unused rest of
a row is padding, well below one per cent of real text.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from core.shards.format import Header, Rows, Spans, SplitName, dtype_for
from core.tokenizer import SentencePieceTokenizer

METHOD = "best-fit-decreasing"


def tokenized_schema() -> pa.Schema:
    """Return the schema of tokenized documents, one row per document.

    ``order`` is :func:`order_of` without its lowest bit. ``tokens`` are all tokens, with bos and eos, as
    bytes of the dtype :func:`core.shards.format.dtype_for`.
    """
    return pa.schema(
        [
            ("split", pa.string()),
            ("source", pa.string()),
            ("order", pa.int64()),
            ("document_id", pa.binary()),
            ("token_count", pa.int64()),
            ("tokens", pa.binary()),
        ]
    )


def tokenize(
    documents: pa.RecordBatch, tokenizer: SentencePieceTokenizer, validation_share: float
) -> pa.RecordBatch:
    """Convert documents (``id``, ``text``, ``source``, ``cluster``) to rows of :func:`tokenized_schema`."""
    dtype = dtype_for(tokenizer.vocabulary_size)
    bos, eos = (np.array([token], dtype).tobytes() for token in (tokenizer.bos, tokenizer.eos))
    ids = [bytes.fromhex(each) for each in documents.column("id").to_pylist()]
    texts = documents.column("text").to_pylist()
    tokens = [bos + tokenizer.encode_array(text).astype(dtype).tobytes() + eos for text in texts]
    return pa.record_batch(
        {
            "split": [split_of(each, validation_share) for each in documents.column("cluster").to_pylist()],
            "source": documents.column("source"),
            "order": [order_of(each) >> 1 for each in ids],
            "document_id": ids,
            "token_count": [len(each) // dtype.itemsize for each in tokens],
            "tokens": tokens,
        },
        schema=tokenized_schema(),
    )


def split_of(cluster: str, validation_share: float) -> SplitName:
    """Return the split of a duplicate cluster, by its hash. Near-duplicates are always in the same split."""
    return "validation" if _hash64("split", cluster.encode()) < validation_share * 2.0**64 else "train"


def order_of(document_id: bytes) -> int:
    """Return the document's 64-bit sort key in the fixed pseudo-random order of all documents; unsigned."""
    return _hash64("order", document_id)


def pack(documents: Iterable[tuple[bytes, npt.NDArray[np.unsignedinteger]]], header: Header) -> Rows:
    """Pack documents (16-byte id, all tokens with bos and eos) into rows of ``sequence_length + 1`` tokens.

    The result depends only on the set of documents: they are sorted by :func:`order_of`, then by id. Rows are
    sorted by their first document, so that consecutive rows are a representative sample.
    O(n log n + n · sequence_length / 64).
    """
    ordered = sorted(documents, key=lambda document: (order_of(document[0]), document[0]))
    row_length = header.sequence_length + 1
    lengths = np.array([len(tokens) for _, tokens in ordered], np.int64)
    document, offset, length = _segments(lengths, row_length)
    row = _number_by_first_segment(best_fit_decreasing(length, row_length))
    by_row = np.argsort(row, kind="stable")
    document, offset, length, row = document[by_row], offset[by_row], length[by_row], row[by_row]
    bounds = np.searchsorted(row, np.arange(row[-1] + 2 if len(row) else 1))
    before = np.cumsum(length) - length
    start = before - before[bounds[row]]

    tokens = np.full((len(bounds) - 1, row_length), header.pad, header.dtype)
    segments = zip(*(column.tolist() for column in (row, start, length, document, offset)), strict=True)
    for to_row, to, count, number, first in segments:
        tokens[to_row, to : to + count] = ordered[number][1][first : first + count]
    ids = np.frombuffer(b"".join(document_id for document_id, _ in ordered), np.uint8).reshape(-1, 16)
    numbers = (column.astype(np.int32) for column in (start, length, offset))
    return Rows(tokens, Spans(bounds.astype(np.int64), ids[document], *numbers))


def best_fit_decreasing(lengths: npt.NDArray[np.int64], capacity: int) -> npt.NDArray[np.int64]:
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


def _segments(
    lengths: npt.NDArray[np.int64], row_length: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Split documents into segments of at most a row: document, offset and length of each segment."""
    counts = -(-lengths // row_length)
    document = np.repeat(np.arange(len(lengths)), counts)
    first = np.cumsum(counts) - counts
    offset = (np.arange(len(document)) - first[document]) * row_length
    return document, offset, np.minimum(lengths[document] - offset, row_length)


def _number_by_first_segment(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Renumber the rows in order of their first segments."""
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def _hash64(purpose: str, value: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(value, digest_size=8, person=purpose.encode()).digest(), "big")

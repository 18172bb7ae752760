"""Documents to fixed-length sequences: best-fit packing (Ding et al. 2024, "Fewer Truncations Improve
Language Modeling").

Only a document longer than a row is cut, into full rows and a rest. The pieces are laid into rows by
best-fit-decreasing bin packing: the longest first, each into the fullest row that still has room for it.
What remains is padding, well below one per cent on real text.
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
    """One row per document.

    ``order`` is :func:`order_of` without its lowest bit; ``tokens`` are all tokens, with bos and eos, as
    bytes of :func:`core.shards.format.dtype_for`.
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
    """Documents (``id``, ``text``, ``source``, ``cluster``) to rows of :func:`tokenized_schema`."""
    token = dtype_for(tokenizer.vocabulary_size)
    bos, eos = (np.array([mark], token).tobytes() for mark in (tokenizer.bos, tokenizer.eos))
    ids = [bytes.fromhex(each) for each in documents.column("id").to_pylist()]
    texts = documents.column("text").to_pylist()
    tokens = [bos + tokenizer.encode_array(text).astype(token).tobytes() + eos for text in texts]
    return pa.record_batch(
        {
            "split": [split_of(each, validation_share) for each in documents.column("cluster").to_pylist()],
            "source": documents.column("source"),
            "order": [order_of(each) >> 1 for each in ids],
            "document_id": ids,
            "token_count": [len(each) // token.itemsize for each in tokens],
            "tokens": tokens,
        },
        schema=tokenized_schema(),
    )


def split_of(cluster: str, validation_share: float) -> SplitName:
    """Train or validation, by a hash of the duplicate cluster: near-copies never straddle the split."""
    return "validation" if _draw("split", cluster.encode()) < validation_share * 2.0**64 else "train"


def order_of(document_id: bytes) -> int:
    """The document's place in the fixed, arbitrary order of all documents: 64 bits, 0 or more."""
    return _draw("order", document_id)


def pack(documents: Iterable[tuple[bytes, npt.NDArray[np.unsignedinteger]]], header: Header) -> Rows:
    """Lay documents (16-byte id, all tokens with bos and eos) into rows of ``sequence_length + 1`` tokens.

    The result depends on the set of documents only: they are ordered by :func:`order_of`, then by id. Rows
    come in the order of their first document, so that any run of rows is a fair sample.
    O(n log n + n · sequence_length / 64).
    """
    ordered = sorted(documents, key=lambda document: (order_of(document[0]), document[0]))
    row_length = header.sequence_length + 1
    lengths = np.array([len(tokens) for _, tokens in ordered], np.int64)
    document, offset, length = _cut(lengths, row_length)
    row = _by_first_piece(best_fit_decreasing(length, row_length))
    sequence = np.argsort(row, kind="stable")
    document, offset, length, row = document[sequence], offset[sequence], length[sequence], row[sequence]
    bounds = np.searchsorted(row, np.arange(row[-1] + 2 if len(row) else 1))
    before = np.cumsum(length) - length
    start = before - before[bounds[row]]

    tokens = np.full((len(bounds) - 1, row_length), header.pad, header.dtype)
    pieces = zip(*(column.tolist() for column in (row, start, length, document, offset)), strict=True)
    for at, first, count, number, skipped in pieces:
        tokens[at, first : first + count] = ordered[number][1][skipped : skipped + count]
    ids = np.frombuffer(b"".join(document_id for document_id, _ in ordered), np.uint8).reshape(-1, 16)
    numbers = (column.astype(np.int32) for column in (start, length, offset))
    return Rows(tokens, Spans(bounds.astype(np.int64), ids[document], *numbers))


def best_fit_decreasing(lengths: npt.NDArray[np.int64], capacity: int) -> npt.NDArray[np.int64]:
    """The row of each piece; no length may exceed ``capacity``.

    Pieces of equal length go in the order given; of several rows with equal room, the one that was last
    given a piece is taken. Which amounts of room are on offer is kept as the bits of one integer, so
    that the least that suffices is found by a shift.
    """
    rows = np.empty(len(lengths), np.int64)
    with_room: list[list[int]] = [[] for _ in range(capacity)]
    rooms = 0
    count = 0
    for piece in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[piece])
        sufficient = rooms >> length
        if sufficient:
            room = length + (sufficient & -sufficient).bit_length() - 1
            row = with_room[room].pop()
            if not with_room[room]:
                rooms ^= 1 << room
        else:
            room, row = capacity, count
            count += 1
        rows[piece] = row
        if left := room - length:
            with_room[left].append(row)
            rooms |= 1 << left
    return rows


def _cut(
    lengths: npt.NDArray[np.int64], row_length: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Cut documents into pieces of at most a row: document, offset and length of each piece."""
    pieces = -(-lengths // row_length)
    document = np.repeat(np.arange(len(lengths)), pieces)
    first = np.cumsum(pieces) - pieces
    offset = (np.arange(len(document)) - first[document]) * row_length
    return document, offset, np.minimum(lengths[document] - offset, row_length)


def _by_first_piece(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Number the rows anew, by the first of their pieces."""
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def _draw(purpose: str, value: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(value, digest_size=8, person=purpose.encode()).digest(), "big")

"""Byte ranges of a shard file, by which rows are read from storage without the rest of the file.

An Arrow IPC file holds a schema message and a message per record batch, each with a prefix of eight bytes (a
continuation marker and the length of its metadata). The body of the only batch holds the buffers of the
columns one after the other, each padded to eight bytes ("Arrow Columnar Format", version 1.5).
"""

import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from core import storage
from core.errors import ManifestError
from core.manifest import NAME, FileEntry
from core.shards.format import Facts, Rows, Spans

_MAGIC, _PREFIX = b"ARROW1\0\0", struct.Struct("<Ii")
_CONTINUATION = 0xFFFFFFFF
_HEAD_BYTES = 1 << 14
"""Bytes from the beginning of a file that are read at once: they hold the metadata of both messages."""
_ALIGNMENT = 8
_ID_BYTES = 16
_INT, _BYTE = np.dtype("<i4"), np.dtype(np.uint8)


class Layout(NamedTuple):
    """Number of spans in a shard file, and byte offsets of its buffers."""

    spans: int
    tokens: int
    bounds: int
    document_id: int
    start: int
    length: int
    offset: int


def read_rows(folder: str, entry: FileEntry, facts: Facts, first: int, past: int) -> Rows:
    """Return the rows ``first:past`` of one file of a set of shards.

    Costs eight small requests, whatever the size of the file. Nothing is compared with the manifest's hashes.
    Raises :class:`ManifestError` for a file of another layout.
    """
    path, layout = storage.join(folder, entry.path), _layout(folder, entry, facts)
    number, row_length = past - first, facts.sequence_length + 1
    tokens_at = layout.tokens + first * row_length * facts.dtype.itemsize
    tokens = _array(path, tokens_at, facts.dtype, number * row_length)
    bounds = _array(path, layout.bounds + _INT.itemsize * first, _INT, number + 1).astype(np.int64)
    before, count = int(bounds[0]), int(bounds[-1] - bounds[0])
    ids = _array(path, layout.document_id + _ID_BYTES * before, _BYTE, _ID_BYTES * count)
    start, length, offset = (
        _array(path, at + _INT.itemsize * before, _INT, count)
        for at in (layout.start, layout.length, layout.offset)
    )
    spans = Spans(bounds - before, ids.reshape(count, _ID_BYTES), start, length, offset)
    return Rows(tokens.reshape(number, row_length), spans)


def read_document_ids(
    folder: str, entry: FileEntry, facts: Facts
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Return the bounds and the document ids of all spans of a file, as in :class:`Spans`."""
    path, layout = storage.join(folder, entry.path), _layout(folder, entry, facts)
    bounds = _array(path, layout.bounds, _INT, entry.rows + 1).astype(np.int64)
    ids = _array(path, layout.document_id, _BYTE, _ID_BYTES * int(bounds[-1]))
    return bounds, ids.reshape(-1, _ID_BYTES)


def read_span_ranges(
    folder: str, entry: FileEntry, facts: Facts
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return first token and number of tokens of all spans of a file, as in :class:`Spans`."""
    path, layout = storage.join(folder, entry.path), _layout(folder, entry, facts)
    start, length = (_array(path, at, _INT, layout.spans) for at in (layout.start, layout.length))
    return start, length


def _layout(folder: str, entry: FileEntry, facts: Facts) -> Layout:
    path = storage.join(folder, entry.path)
    tokens = _body(path)
    bounds = tokens + _padded(entry.rows * (facts.sequence_length + 1) * facts.dtype.itemsize)
    (spans,) = _array(path, bounds + _INT.itemsize * entry.rows, _INT, 1).tolist()
    document_id = bounds + _padded(_INT.itemsize * (entry.rows + 1))
    start = document_id + _padded(_ID_BYTES * spans)
    length = start + _padded(_INT.itemsize * spans)
    offset = length + _padded(_INT.itemsize * spans)
    return Layout(spans, tokens, bounds, document_id, start, length, offset)


def _body(path: str) -> int:
    """Return the byte offset of the record batch's body."""
    head = storage.read_range(path, 0, _HEAD_BYTES)
    position = len(_MAGIC)
    if not head.startswith(_MAGIC):
        raise _other_layout(path)
    for _ in ("schema", "record batch"):
        if position + _PREFIX.size > len(head):
            raise _other_layout(path)
        marker, length = _PREFIX.unpack_from(head, position)
        if marker != _CONTINUATION or length <= 0:
            raise _other_layout(path)
        position += _PREFIX.size + length
    return position


def _array(path: str, position: int, dtype: np.dtype[Any], number: int) -> npt.NDArray[Any]:
    size = number * dtype.itemsize
    data = storage.read_range(path, position, size) if size else b""
    if len(data) != size:
        raise _other_layout(path)
    return np.frombuffer(data, dtype)


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _other_layout(path: str) -> ManifestError:
    return ManifestError(f"{path}: not laid out as a shard file of the {NAME} beside it; run pack again")

"""Rows of a shard file by byte offsets, so that no more of it is read than the rows that are wanted.

An Arrow IPC file holds a schema message and a message per record batch, each with a prefix of eight bytes (a
continuation marker and the length of its metadata). The body of the only batch holds the buffers of the
columns one after the other, each padded to eight bytes ("Arrow Columnar Format", version 1.5).
"""

import functools
import struct
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from core.errors import ManifestError
from core.manifest import NAME
from core.shards.blocks import FileBytes, Int64Array, LocalBytes
from core.shards.format import Facts, Segments, Spans, ranges, schema

_MAGIC, _PREFIX = b"ARROW1\0\0", struct.Struct("<Ii")
_CONTINUATION = 0xFFFFFFFF
_MAX_METADATA = 1 << 16
_ALIGNMENT = 8
ID_BYTES = 16
INT, BYTE = np.dtype("<i4"), np.dtype(np.uint8)

Place = TypeVar("Place", int, Int64Array)


class Layout(NamedTuple, Generic[Place]):
    """Byte offsets of the buffers in a shard file, or their addresses in the files of n rows, int64[n]."""

    tokens: Place
    bounds: Place
    document_id: Place
    start: Place
    length: Place
    offset: Place


class ShardFile:
    """The rows of one shard file. Rows at indices are returned in the order of the indices."""

    def __init__(self, path: str, data: FileBytes, num_rows: int, facts: Facts) -> None:
        """``data``: the file's bytes. The first use raises :class:`ManifestError` for another layout."""
        self._path, self._data, self._num_rows, self._facts = path, data, num_rows, facts
        self._found: Layout[int] | None = None

    def tokens(self, rows: Int64Array) -> npt.NDArray[np.unsignedinteger]:
        """Return the tokens of n rows, unsigned[n, sequence_length + 1]."""
        return self._data.records(
            self._layout.tokens, self._facts.dtype, self._facts.sequence_length + 1, rows
        )

    def segments(self, rows: Int64Array) -> Segments:
        """Return the segments of n rows."""
        bounds, spans = self._spans_of(rows)
        return Segments(bounds, *self._numbers(spans, self._layout.start, self._layout.length))

    def spans(self, rows: Int64Array) -> Spans:
        """Return the spans of n rows."""
        bounds, spans = self._spans_of(rows)
        layout = self._layout
        start, length, offset = self._numbers(spans, layout.start, layout.length, layout.offset)
        ids = self._data.records(layout.document_id, BYTE, ID_BYTES, spans)
        return Spans(bounds, start, length, ids, offset)

    def all_segments(self) -> Segments:
        """Return the segments of all rows."""
        return self.segments(np.arange(self._num_rows))

    def document_ids(self) -> tuple[Int64Array, npt.NDArray[np.uint8]]:
        """Return the bounds and the document ids of all spans, as in :class:`Spans`."""
        bounds = self._bounds(np.arange(self._num_rows + 1))
        spans = np.arange(bounds[-1])
        return bounds, self._data.records(self._layout.document_id, BYTE, ID_BYTES, spans)

    def _spans_of(self, rows: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Return the bounds of some rows among their spans, and the numbers of these spans in the file."""
        edges = self._bounds(np.stack([rows, rows + 1], axis=1).reshape(-1)).reshape(-1, 2)
        return ranges(edges[:, 0], edges[:, 1] - edges[:, 0])

    def _bounds(self, edges: Int64Array) -> Int64Array:
        return self._data.records(self._layout.bounds, INT, 1, edges).reshape(-1).astype(np.int64)

    def _numbers(self, spans: Int64Array, *buffers: int) -> list[npt.NDArray[np.int32]]:
        return [self._data.records(buffer, INT, 1, spans).reshape(-1) for buffer in buffers]

    @property
    def _layout(self) -> Layout[int]:
        # Not a cached_property: those of all objects share a lock until Python 3.12, and requests take long.
        if self._found is None:
            self._found = self._read_layout()
        return self._found

    def _read_layout(self) -> Layout[int]:
        try:
            tokens = self._body()
            row_bytes = (self._facts.sequence_length + 1) * self._facts.dtype.itemsize
            bounds = tokens + _padded(self._num_rows * row_bytes)
            spans = int(self._data.records(bounds, INT, 1, np.array([self._num_rows]))[0, 0])
        except (IndexError, OSError, pa.ArrowInvalid):  # OSError: of Arrow
            raise self.other_layout() from None
        document_id = bounds + _padded(INT.itemsize * (self._num_rows + 1))
        start = document_id + _padded(ID_BYTES * spans)
        length = start + _padded(INT.itemsize * spans)
        offset = length + _padded(INT.itemsize * spans)
        if spans < 0 or offset + INT.itemsize * spans > self._data.size:
            raise self.other_layout()
        return Layout(tokens, bounds, document_id, start, length, offset)

    def _body(self) -> int:
        """Return the byte offset of the record batch's body; compare the columns with the manifest's."""
        position = len(_MAGIC)
        if self._bytes(0, position) != _MAGIC:
            raise self.other_layout()
        for message in ("schema", "record batch"):
            marker, length = _PREFIX.unpack(self._bytes(position, _PREFIX.size))
            if marker != _CONTINUATION or not 0 < length <= _MAX_METADATA or length % _ALIGNMENT:
                raise self.other_layout()
            if message == "schema":
                found = _schema(self._bytes(position, _PREFIX.size + length))
                if not found.equals(schema(self._facts.sequence_length, self._facts.dtype)):
                    raise self.other_layout()
            position += _PREFIX.size + length
        return position

    def _bytes(self, position: int, size: int) -> bytes:
        return self._data.records(position, BYTE, size, np.zeros(1, np.int64)).tobytes()

    def other_layout(self) -> ManifestError:
        """Return the error for a file that is not laid out as its manifest says."""
        return ManifestError(
            f"{self._path}: not laid out as a shard file of the {NAME} beside it; run pack again"
        )


class MappedFile(ShardFile):
    """A local file."""

    def __init__(self, path: str, data: LocalBytes, num_rows: int, facts: Facts) -> None:
        """``data``: the file's bytes."""
        super().__init__(path, data, num_rows, facts)
        self.address, self.size = data.address, data.size

    def buffers(self) -> list[int]:
        """Return the addresses of the buffers, in the order of :class:`Layout`."""
        return [self.address + offset for offset in self._layout]


@functools.lru_cache(maxsize=8)
def _schema(message: bytes) -> pa.Schema:
    """Return the schema in a message, which is the same in all files of a set."""
    return pa.ipc.read_schema(pa.py_buffer(message))


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT

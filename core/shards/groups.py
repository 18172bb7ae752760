"""Rows from any files of a split and source at once.

The rows of local files are gathered by the addresses of their memory maps, in one call from all files. Remote
files are read concurrently, each in the order of its rows.
"""

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from core.shards.blocks import Bytes, Int64Array
from core.shards.format import Facts, Segments, Spans, ranges
from core.shards.layout import BYTE, ID_BYTES, INT, Layout, MappedFile, ShardFile

Tokens = npt.NDArray[np.unsignedinteger]
OpenFile = Callable[[int], ShardFile]
"""Returns a file by number, the same object every time."""
SegmentsT = TypeVar("SegmentsT", bound=Segments)

_MAX_VIEW = 1 << 62
"""Size of a view with overlapping records, all counted in full, that NumPy can represent."""


class FileGroup(ABC):
    """The files of a split and source, by number. Rows are returned in the order in which they are asked for.

    ``files`` and ``rows`` are int64[n]: the file of each row, and its number there, which must exist.
    """

    @abstractmethod
    def read(self, files: Int64Array, rows: Int64Array) -> tuple[Tokens, Spans]:
        """Return tokens, unsigned[n, sequence_length + 1], and spans of rows."""

    @abstractmethod
    def read_segments(self, files: Int64Array, rows: Int64Array) -> tuple[Tokens, Segments]:
        """Read rows as :meth:`read`, without the ids of their documents."""


class _Maps(NamedTuple):
    """The open files of a group."""

    files: dict[int, MappedFile]
    """By number; they keep the memory maps alive."""
    base: int
    """Lowest address of a map."""
    memory: Bytes
    """The bytes from there to the end of the highest map. Those between the maps must not be read."""
    buffers: Int64Array
    """int64[files, 6]: addresses of the buffers in the order of :class:`Layout`; 0 for files not opened."""


class MappedFiles(FileGroup):
    """Local files, which are opened when the first of their rows is read."""

    def __init__(self, number: int, open_file: OpenFile, facts: Facts) -> None:
        self._open_file, self._facts = open_file, facts
        buffers = np.zeros((number, len(Layout._fields)), np.int64)
        self._maps = _Maps({}, 0, np.empty(0, np.uint8), buffers)
        """Replaced as a whole, for threads that read meanwhile."""

    def read(self, files: Int64Array, rows: Int64Array) -> tuple[Tokens, Spans]:
        """Return tokens and spans of rows."""
        maps, at = self._opened(files)
        bounds, spans = self._spans(maps, at, files, rows)
        counts = np.diff(bounds)
        start, length, offset = _columns(maps, (at.start, at.length, at.offset), counts, spans)
        ids = _records(maps, at.document_id.repeat(counts) + ID_BYTES * spans, BYTE, ID_BYTES)
        return self._tokens(maps, at, rows), Spans(bounds, start, length, ids, offset)

    def read_segments(self, files: Int64Array, rows: Int64Array) -> tuple[Tokens, Segments]:
        """Return tokens and segments of rows."""
        maps, at = self._opened(files)
        bounds, spans = self._spans(maps, at, files, rows)
        start, length = _columns(maps, (at.start, at.length), np.diff(bounds), spans)
        return self._tokens(maps, at, rows), Segments(bounds, start, length)

    def _opened(self, files: Int64Array) -> tuple[_Maps, Layout[Int64Array]]:
        """Return the maps with those of ``files`` among them, and the buffers of the file of each row."""
        maps = self._maps
        if not (found := maps.buffers[files]).all():
            opened, buffers = dict(maps.files), maps.buffers.copy()
            for number in set(files.tolist()) - opened.keys():
                file = self._open_file(number)
                assert isinstance(file, MappedFile)
                opened[number], buffers[number] = file, file.buffers()
            base = min(file.address for file in opened.values())
            size = max(file.address + file.size for file in opened.values()) - base
            memory = memoryview((ctypes.c_char * size).from_address(base)).toreadonly()
            self._maps = maps = _Maps(opened, base, np.frombuffer(memory, np.uint8), buffers)
            found = buffers[files]
        return maps, Layout(*found.T)

    def _tokens(self, maps: _Maps, at: Layout[Int64Array], rows: Int64Array) -> Tokens:
        length = self._facts.sequence_length + 1
        offsets = rows * (length * self._facts.dtype.itemsize)
        return _records(maps, at.tokens + offsets, self._facts.dtype, length)

    def _spans(
        self, maps: _Maps, at: Layout[Int64Array], files: Int64Array, rows: Int64Array
    ) -> tuple[Int64Array, Int64Array]:
        """Return the bounds of rows among their spans, and the numbers of these spans in their files."""
        first = _ints(maps, at.bounds + INT.itemsize * rows).astype(np.int64)
        past = _ints(maps, at.bounds + INT.itemsize * (rows + 1)).astype(np.int64)
        within = (first >= 0) & (first <= past) & (past * ID_BYTES <= at.start - at.document_id)
        if not within.all():
            raise maps.files[int(files[within.argmin()])].other_layout()
        return ranges(first, past - first)


class RemoteFiles(FileGroup):
    """Files that are read in blocks."""

    def __init__(self, open_file: OpenFile, facts: Facts, threads: Executor) -> None:
        self._open_file, self._facts, self._threads = open_file, facts, threads

    def read(self, files: Int64Array, rows: Int64Array) -> tuple[Tokens, Spans]:
        """Return tokens and spans of rows."""
        return self._read(files, rows, ShardFile.spans)

    def read_segments(self, files: Int64Array, rows: Int64Array) -> tuple[Tokens, Segments]:
        """Return tokens and segments of rows."""
        return self._read(files, rows, ShardFile.segments)

    def _read(
        self, files: Int64Array, rows: Int64Array, read: Callable[[ShardFile, Int64Array], SegmentsT]
    ) -> tuple[Tokens, SegmentsT]:
        by_row = np.lexsort((rows, files))  # ascending rows are read block by block
        edges = np.flatnonzero(np.diff(files[by_row], prepend=-1, append=-1)).tolist() or [0, 0]
        tokens = np.empty((len(rows), self._facts.sequence_length + 1), self._facts.dtype)

        def read_part(part: tuple[int, int]) -> SegmentsT:
            places = by_row[part[0] : part[1]]
            file = self._open_file(int(files[places[0]]) if len(places) else 0)
            tokens[places] = file.tokens(rows[places])
            return read(file, rows[places])

        found = list(self._threads.map(read_part, pairwise(edges)))
        # The segments are in the order in which they were read: restore the requested one.
        order = np.empty(len(rows), np.int64)
        order[by_row] = np.arange(len(rows))
        return tokens, found[0].join(found).take(order)


def _columns(
    maps: _Maps, buffers: Sequence[Int64Array], counts: Int64Array, spans: Int64Array
) -> list[npt.NDArray[np.int32]]:
    """Return the integers of ``spans`` in each of some buffers; row i has ``counts[i]`` of the spans."""
    return [_ints(maps, buffer.repeat(counts) + INT.itemsize * spans) for buffer in buffers]


def _ints(maps: _Maps, addresses: Int64Array) -> npt.NDArray[np.int32]:
    """Return int32[n]. Addresses must be aligned and within maps: this is not checked."""
    return _items(maps, INT).take((addresses - maps.base) // INT.itemsize)


def _records(maps: _Maps, addresses: Int64Array, dtype: np.dtype[Any], width: int) -> npt.NDArray[Any]:
    """Return records of ``width`` items, [n, width]. Their addresses must be as for :func:`_ints`."""
    items = _items(maps, dtype)
    part = max(1, _MAX_VIEW // max(1, items.nbytes))
    if part < width:
        parts = [
            _records(maps, addresses + first * dtype.itemsize, dtype, min(part, width - first))
            for first in range(0, width, part)
        ]
        return np.concatenate(parts, axis=1)
    # A record starts at every item: they overlap.
    shape = max(0, len(items) - width + 1), width
    overlapping = np.ndarray(shape, dtype, items, strides=(dtype.itemsize, dtype.itemsize))
    return overlapping[(addresses - maps.base) // dtype.itemsize]


def _items(maps: _Maps, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    return maps.memory[: len(maps.memory) // dtype.itemsize * dtype.itemsize].view(dtype)

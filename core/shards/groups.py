"""Rows from any files of a split and source at once.

The rows of local files are gathered by the addresses of their memory maps, so that rows of a thousand files
cost as much as those of one. Remote files are read concurrently, each in the order of its rows.
"""

import ctypes
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Executor
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from core.shards.blocks import Int64Array
from core.shards.format import Facts, Segments, Spans, ranges
from core.shards.layout import BYTE, ID_BYTES, INT, ShardFile

Tokens = npt.NDArray[np.unsignedinteger]
S = TypeVar("S", bound=Segments)

_FIRST_ADDRESS, _PAST_ADDRESS = 1 << 12, 1 << 47
"""Addresses that a 64-bit system gives to a process."""


class BufferAddresses(NamedTuple):
    """For each of n rows, the addresses of the buffers of its file: int64[n]."""

    tokens: Int64Array
    bounds: Int64Array
    document_id: Int64Array
    start: Int64Array
    length: Int64Array
    offset: Int64Array


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


class MappedFiles(FileGroup):
    """Local files, which are opened when the first of their rows is read."""

    def __init__(self, number: int, open_file: Callable[[int], ShardFile], facts: Facts) -> None:
        self._open_file, self._facts = open_file, facts
        self._opened: dict[int, ShardFile] = {}
        """Keeps the maps."""
        self._addresses = np.zeros((number, len(BufferAddresses._fields)), np.int64)
        """Addresses of the buffers of each file, in the order of :class:`Layout`; 0 until it is opened."""

    def read(self, files: Int64Array, rows: Int64Array) -> tuple[Tokens, Spans]:
        """Return tokens and spans of rows."""
        at = self._at(files)
        bounds, counts, spans = self._spans(at, files, rows)
        start, length, offset = (
            _gather(buffer.repeat(counts) + INT.itemsize * spans, INT)
            for buffer in (at.start, at.length, at.offset)
        )
        ids = _gather(at.document_id.repeat(counts) + ID_BYTES * spans, BYTE, ID_BYTES)
        return self._tokens(at, rows), Spans(bounds, start, length, ids, offset)

    def read_segments(self, files: Int64Array, rows: Int64Array) -> tuple[Tokens, Segments]:
        """Return tokens and segments of rows."""
        at = self._at(files)
        bounds, counts, spans = self._spans(at, files, rows)
        start, length = (
            _gather(buffer.repeat(counts) + INT.itemsize * spans, INT) for buffer in (at.start, at.length)
        )
        return self._tokens(at, rows), Segments(bounds, start, length)

    def _at(self, files: Int64Array) -> BufferAddresses:
        """Return the addresses of the buffers of the file of each row."""
        if not (found := self._addresses[files]).all():
            for number in set(files.tolist()) - self._opened.keys():
                file = self._open_file(number)
                self._addresses[number] = file.addresses()
                self._opened[number] = file
            found = self._addresses[files]
        return BufferAddresses(*found.T)

    def _tokens(self, at: BufferAddresses, rows: Int64Array) -> Tokens:
        length = self._facts.sequence_length + 1
        return _gather(at.tokens + rows * (length * self._facts.dtype.itemsize), self._facts.dtype, length)

    def _spans(
        self, at: BufferAddresses, files: Int64Array, rows: Int64Array
    ) -> tuple[Int64Array, Int64Array, Int64Array]:
        """Return the bounds of rows among their spans, how many each has, and the spans' numbers in files."""
        first = _gather(at.bounds + INT.itemsize * rows, INT).astype(np.int64)
        past = _gather(at.bounds + INT.itemsize * (rows + 1), INT).astype(np.int64)
        within = (first >= 0) & (first <= past) & (past * ID_BYTES <= at.start - at.document_id)
        if not within.all():
            raise self._opened[int(files[within.argmin()])].other_layout()
        bounds, spans = ranges(first, past - first)
        return bounds, past - first, spans


class RemoteFiles(FileGroup):
    """Files that are read in blocks."""

    def __init__(self, open_file: Callable[[int], ShardFile], facts: Facts, threads: Executor) -> None:
        self._open_file, self._facts, self._threads = open_file, facts, threads

    def read(self, files: Int64Array, rows: Int64Array) -> tuple[Tokens, Spans]:
        """Return tokens and spans of rows."""
        return self._read(files, rows, ShardFile.spans)

    def read_segments(self, files: Int64Array, rows: Int64Array) -> tuple[Tokens, Segments]:
        """Return tokens and segments of rows."""
        return self._read(files, rows, ShardFile.segments)

    def _read(
        self, files: Int64Array, rows: Int64Array, read: Callable[[ShardFile, Int64Array], S]
    ) -> tuple[Tokens, S]:
        by_row = np.lexsort((rows, files))  # ascending rows are read block by block
        edges = np.flatnonzero(np.diff(files[by_row], prepend=-1, append=-1)).tolist() or [0, 0]
        tokens = np.empty((len(rows), self._facts.sequence_length + 1), self._facts.dtype)

        def read_part(part: tuple[int, int]) -> S:
            places = by_row[part[0] : part[1]]
            file = self._open_file(int(files[places[0]]) if len(places) else 0)
            tokens[places] = file.tokens(rows[places])
            return read(file, rows[places])

        found = list(self._threads.map(read_part, pairwise(edges)))
        # The segments are in the order in which they were read: restore the requested one.
        order = np.empty(len(rows), np.int64)
        order[by_row] = np.arange(len(rows))
        return tokens, found[0].join(found).take(order)


def _gather(addresses: Int64Array, dtype: np.dtype[Any], width: int = 1) -> npt.NDArray[Any]:
    """Return records of ``width`` items at addresses of this process, [n, width], or [n] for a width of 1.

    All bytes must be mapped, and items aligned: this is not checked.
    """
    numbers = (addresses - _FIRST_ADDRESS) // dtype.itemsize
    found = _memory(dtype, width)
    return found.take(numbers) if width == 1 else found[numbers]


@functools.cache
def _memory(dtype: np.dtype[Any], width: int) -> npt.NDArray[Any]:
    """Return all memory as records, of which one starts at every item: ``[n]``, or ``[n, width]``."""
    size = _PAST_ADDRESS - _FIRST_ADDRESS
    items = np.frombuffer(memoryview((ctypes.c_char * size).from_address(_FIRST_ADDRESS)), dtype)
    if width == 1:
        return items
    shape, strides = (len(items) - width + 1, width), (dtype.itemsize, dtype.itemsize)
    return np.lib.stride_tricks.as_strided(items, shape, strides, writeable=False)

"""Bytes of shard files: local ones are memory-mapped, remote ones read in blocks, which are kept on disk.

The manifest has a digest of every block, so that a part of a file is verified without the rest.
"""

import errno
import hashlib
import mmap
import os
import resource
import shutil
import sys
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from core import storage
from core.errors import InputError, ManifestError
from core.shards.locks import locked

BLOCK_BYTES = 1 << 20
"""Size of a block: one request reads some hundred rows, and 100 GB have 1.6 MB of digests."""
DIGEST_BYTES = 8
RETRY_SECONDS = (0.2, 1.0, 5.0)
"""Waiting times before a request that was answered with wrong bytes is repeated."""
REQUESTS = 32
"""Concurrent requests of a process."""
GROUP_BLOCKS = 16
"""Neighbouring blocks, from a multiple of this number on, that have a lock and that one request can read."""
LOCK_SECONDS = 10.0
"""Time to wait for another thread or process that fetches blocks of the same group."""
_OPEN_BLOCKS = 256
"""Blocks of which a process keeps a memory map."""
_OPEN_FILES = 10_240
"""Open files of a process whose limit may be raised without bounds; macOS has no more."""
_SWEEPS = 100
"""A process checks the size of the cache whenever it has written 1/100 of the limit."""

Int64Array = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


def digest(block: bytes | memoryview) -> str:
    """Return the digest of a block: the first 8 bytes of its SHA-256, hexadecimal."""
    return hashlib.sha256(block).digest()[:DIGEST_BYTES].hex()


def file_digests(path: str) -> str:
    """Return the digests of all blocks of a local file, one after another."""
    digests = []
    with Path(path).open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digests.append(digest(block))
    return "".join(digests)


class FileBytes(Protocol):
    """A file as arrays of records."""

    size: int
    """Bytes of the file."""

    def records(self, at: int, dtype: np.dtype[Any], width: int, indices: Int64Array) -> npt.NDArray[Any]:
        """Return records of ``width`` items, ``[n, width]``, at ``indices`` of those that start at ``at``.

        Records are numbered from the byte offset ``at``. Raises :class:`IndexError` past the end of the file.
        """


class LocalBytes:
    """A memory-mapped file."""

    def __init__(self, path: str) -> None:
        self._map = _memory_map(path)
        self.size = len(self._map)
        self.address = int(np.frombuffer(self._map, np.uint8).ctypes.data)
        """Address of the first byte in this process, as long as this object exists."""
        self._arrays: dict[tuple[int, str, int], npt.NDArray[Any]] = {}

    def records(self, at: int, dtype: np.dtype[Any], width: int, indices: Int64Array) -> npt.NDArray[Any]:
        """Return records as :meth:`FileBytes.records`; the only copy is the result."""
        key = at, dtype.str, width
        if key not in self._arrays:
            number = max(self.size - at, 0) // (dtype.itemsize * width)
            flat = np.frombuffer(self._map, dtype, number * width, at if number else 0)
            self._arrays[key] = flat.reshape(number, width)
        return self._arrays[key].take(indices, axis=0)


def _memory_map(path: str) -> mmap.mmap:
    """Map a file. Before Python 3.13 a map keeps its file open: the limit of open files is raised if need be.

    Raises :class:`InputError` if it cannot be raised.
    """
    options: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}
    while True:
        try:
            with Path(path).open("rb") as stream:
                return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ, **options)
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
        limit, highest = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _OPEN_FILES if highest == resource.RLIM_INFINITY else highest
        if limit >= wanted:
            raise InputError(f"{path}: {limit} files are open, which is the limit; raise it with ulimit -n")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, highest))


class BlockCache:
    """Blocks on local disk, shared by the processes of a machine.

    Every block is a file, which appears when it is complete. It is verified before a process first uses it.
    A group of blocks has a lock file, so that a block is fetched by one thread of one process.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        """Use ``folder``; if its blocks exceed ``limit`` bytes, those used least recently are removed."""
        self._folder, self._limit = folder, limit
        self._lock = threading.Lock()
        self._open: OrderedDict[str, Bytes] = OrderedDict()
        self._verified: set[str] = set()
        self._unswept = 0
        self.bytes_read = 0
        """Bytes read over the network."""
        self.requests = ThreadPoolExecutor(REQUESTS, "block")
        """Threads for concurrent requests."""

    def find(self, name: str, expected: str) -> Bytes | None:
        """Return a block by name if it is here and has the expected digest."""
        with self._lock:
            if name in self._open:
                self._open.move_to_end(name)
                return self._open[name]
        path = self._folder / name
        try:
            with path.open("rb") as stream:
                block = np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
            os.utime(path)
        except (OSError, ValueError):  # ValueError: an empty file
            return None
        if name not in self._verified and digest(block.data) != expected:
            return None
        return self._keep(name, block)

    def add(self, name: str, data: bytes | memoryview) -> Bytes:
        """Store a verified block and return it. If the disk is full, it is only returned."""
        path = self._folder / name
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            temporary.replace(path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
        with self._lock:
            self._verified.add(name)
            self.bytes_read += len(data)
            self._unswept += len(data)
            due = self._unswept > self._limit // _SWEEPS
            self._unswept *= not due
        if due:
            self._sweep()
        return np.frombuffer(data, np.uint8)

    def lock(self, names: Sequence[str]) -> ExitStack:
        """Return a context in which no other thread or process of the machine holds one of these names.

        Names must be in the same order everywhere.
        """
        with ExitStack() as stack:
            for name in names:
                stack.enter_context(locked(self._folder / f"{name}.lock", LOCK_SECONDS))
            return stack.pop_all()

    def _keep(self, name: str, block: Bytes) -> Bytes:
        with self._lock:
            self._verified.add(name)
            self._open[name] = block
            if len(self._open) > _OPEN_BLOCKS:
                self._open.popitem(last=False)
        return block

    def _sweep(self) -> None:
        """Remove the blocks used least recently until nine tenths of the limit remain.

        The limit is lower if otherwise less than a tenth of the disk would be free.
        """
        files = []
        for path in self._folder.rglob("*"):
            with suppress(OSError):  # another process may remove it
                if path.is_file():
                    files.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        if not files:  # or the folder cannot be made
            return
        total, disk = sum(size for _, size, _ in files), shutil.disk_usage(self._folder)
        limit = min(self._limit, total + disk.free - disk.total // 10)
        if total <= limit:
            return
        for _, size, path in sorted(files):
            if total <= limit * 9 // 10:
                return
            with suppress(OSError):
                path.unlink()
            total -= size


class RemoteBytes:
    """A remote file, read by blocks through a cache."""

    def __init__(
        self, path: str, size: int, sha256: str, digests: str, block_bytes: int, cache: BlockCache
    ) -> None:
        """``digests``: as :func:`file_digests`, of blocks of ``block_bytes``."""
        self._path, self.size, self._name = path, size, sha256
        self._digests, self._block_bytes, self._cache = digests, block_bytes, cache

    def records(self, at: int, dtype: np.dtype[Any], width: int, indices: Int64Array) -> npt.NDArray[Any]:
        """Return records as :meth:`FileBytes.records`.

        All missing blocks are requested at once. Raises :class:`ManifestError` for a block that differs from
        its digest, and :class:`~core.errors.UnavailableError` if the server cannot be used.
        """
        if not len(indices):
            return np.empty((0, width), dtype)
        if (np.diff(indices) < 0).any():
            order = np.argsort(indices, kind="stable")
            ascending = self.records(at, dtype, width, indices[order])
            shuffled = np.empty_like(ascending)
            shuffled[order] = ascending
            return shuffled
        size = dtype.itemsize * width
        firsts = at + indices * size
        pasts = firsts + size
        if firsts[0] < 0 or pasts[-1] > self.size:
            raise IndexError(f"{self._path}: bytes {firsts[0]} to {pasts[-1]} of {self.size}")
        numbers, last_numbers = firsts // self._block_bytes, (pasts - 1) // self._block_bytes
        edges = np.flatnonzero(np.diff(numbers, prepend=-1, append=-1)).tolist()
        divided = np.flatnonzero(numbers != last_numbers)
        wanted = set(numbers[edges[:-1]].tolist())
        for first, last in zip(numbers[divided].tolist(), last_numbers[divided].tolist(), strict=True):
            wanted.update(range(first, last + 1))
        blocks = self._blocks(sorted(wanted))

        found = np.empty((len(indices), size), np.uint8)
        for first, past in pairwise(edges):
            number = int(numbers[first])
            begin = number * self._block_bytes
            whole = _whole_records(blocks[number], (at - begin) % size, size)
            if len(whole):  # divided records are copied below
                within = (firsts[first:past] - begin) // size
                whole.take(within, axis=0, out=found[first:past], mode="clip")
        for index in divided.tolist():
            parts = [blocks[number] for number in range(numbers[index], last_numbers[index] + 1)]
            start = int(firsts[index]) - int(numbers[index]) * self._block_bytes
            found[index] = np.concatenate(parts)[start : start + size]
        return found.view(dtype).reshape(-1, width)

    def _blocks(self, numbers: Sequence[int]) -> dict[int, Bytes]:
        """Return blocks by number, in ascending order. Neighbours that are missing are one request."""
        here, missing = self._cached(numbers)
        if not missing:
            return here
        groups = dict.fromkeys(f"{self._named(number // GROUP_BLOCKS)}-group" for number in missing)
        with self._cache.lock(list(groups)):
            brought, missing = self._cached(missing)  # by another thread or process in the meantime
            requests: list[list[int]] = []
            for number in missing:
                if requests and number == requests[-1][-1] + 1 and number % GROUP_BLOCKS:
                    requests[-1].append(number)
                else:
                    requests.append([number])
            for fetched in self._cache.requests.map(self._read, requests):
                brought |= fetched
        return here | brought

    def _cached(self, numbers: Sequence[int]) -> tuple[dict[int, Bytes], list[int]]:
        """Return the blocks that are in the cache, and the numbers of the others."""
        found = {number: self._cache.find(self._named(number), self._expected(number)) for number in numbers}
        here = {number: block for number, block in found.items() if block is not None}
        return here, [number for number in numbers if number not in here]

    def _read(self, numbers: Sequence[int]) -> dict[int, Bytes]:
        """Read neighbouring blocks from the server. Wrong bytes are requested again."""
        start = numbers[0] * self._block_bytes
        length = min(len(numbers) * self._block_bytes, self.size - start)
        wrong: list[int] = []
        for wait in (*RETRY_SECONDS, None):
            data = memoryview(storage.read_range(self._path, start, length))
            blocks = {number: data[self._within(number, start)] for number in numbers}
            wrong = [number for number, block in blocks.items() if digest(block) != self._expected(number)]
            if len(data) == length and not wrong:
                return {number: self._cache.add(self._named(number), b) for number, b in blocks.items()}
            if wait is not None:
                time.sleep(wait)
        first = wrong[0] * self._block_bytes if wrong else start
        past = min(first + self._block_bytes, self.size)
        raise ManifestError(
            f"{self._path}: bytes {first} to {past} differ from the manifest's digest; restore the "
            "file or run pack again"
        )

    def _within(self, number: int, start: int) -> slice:
        """Return where a block is in bytes that begin at ``start``."""
        first = number * self._block_bytes - start
        return slice(first, first + self._block_bytes)

    def _named(self, number: int) -> str:
        return f"{self._name}/{number}"

    def _expected(self, number: int) -> str:
        width = 2 * DIGEST_BYTES
        return self._digests[number * width : (number + 1) * width]


def _whole_records(block: Bytes, phase: int, size: int) -> Bytes:
    """Return the records of ``size`` bytes that lie within a block, the first at ``phase``, ``[n, size]``."""
    rest = block[phase:]
    return rest[: len(rest) // size * size].reshape(-1, size)

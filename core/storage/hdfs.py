"""HDFS as an fsspec file system: hdfs-native, with its path and seek semantics corrected, and our retries."""

import io
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar

from hdfs_native import FileReader, FileWriter
from hdfs_native.fsspec import HdfsFileSystem

from core.errors import InputError
from core.storage.failures import raise_unless_missing
from core.storage.paths import without_temporary
from core.storage.retries import fetch, repeat

BUFFER = 1 << 20
"""Bytes per read. Each read opens a connection to a DataNode."""
WHOLE = 1 << 20
"""Bytes of a file from which it is begun; a smaller one is written at once."""
_FAILOVERS = "4"
"""Attempts of the client itself, enough to find the active NameNode; its default takes minutes."""


class Hdfs(HdfsFileSystem):
    """hdfs-native's file system, for paths that contain ``?``, ``#`` or ``;`` and for processes that fork.

    The base class cuts paths at these characters, as in URLs. Freeing a client waits for its threads, which
    do not exist in a forked process, where fsspec drops its file systems; so clients are never freed.
    """

    _clients: ClassVar[list[Any]] = []

    def __init__(self, *arguments: Any, **options: Any) -> None:
        defaults: dict[str, Any] = {"dfs.client.failover.max.attempts": _FAILOVERS}
        super().__init__(*arguments, **(defaults | options))
        self._clients.append(self.client)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        _, separator, rest = path.partition("://")
        return "/" + rest.partition("/")[2] if separator else path

    def isdir(self, path: str) -> bool:
        """True if there is a folder. fsspec takes any failure for none."""
        return self._type(path) == "directory"

    def isfile(self, path: str) -> bool:
        """True if there is a file. fsspec takes any failure for none."""
        return self._type(path) == "file"

    def _type(self, path: str) -> str:
        try:
            return str(self.info(path)["type"])
        except FileNotFoundError:
            return ""

    def walk(self, path: str, maxdepth: int | None = None, **options: Any) -> Iterator[Any]:
        """Walk the folders for a listing. fsspec omits those that it fails to list."""
        yield from super().walk(path, maxdepth, **(options | {"on_error": raise_unless_missing}))

    def _open(self, path: str, mode: Any = "rb", *arguments: Any, **options: Any) -> Any:
        if mode != "rb":
            create = partial(super()._open, path, mode, *arguments, **options)
            return _RawWriter(without_temporary(self.unstrip_protocol(path)), create)
        return _Reader(self._raw_reader(path), BUFFER)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        """Return a range of a file by one request. fsspec would read it through a buffer."""
        if (start or 0) < 0 or (end or 0) < 0:
            return bytes(super().cat_file(path, start, end, **options))
        reader = self._raw_reader(path)
        first, past = start or 0, reader.size if end is None else end
        return reader.read_at(first, past - first)

    def _raw_reader(self, path: str) -> "_RawReader":
        open_file = partial(self.client.read, self._strip_protocol(path))
        return _RawReader(self.unstrip_protocol(path), open_file)


class _Reader(io.BufferedReader):
    """A buffer for small reads. Large ones return the client's bytes, without two more copies of them."""

    raw: "_RawReader"

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < BUFFER:
            return super().read(size)
        position = self.tell()
        data = self.raw.read_at(position, size)
        self.seek(position + len(data))
        return data


class _RawReader(io.RawIOBase):
    """A file that is read by ranges; one that fails is requested again.

    Seeking past the end stops at the end.
    """

    def __init__(self, path: str, open_file: Callable[[], FileReader]) -> None:
        self._path, self._open_file = path, open_file
        self._file: FileReader | None = open_file()
        self.size, self._position = self._file.size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise InputError(f"{self._path}: byte {start + offset} is before the file; read from 0 on")
        self._position = min(start + offset, self.size)
        return self._position

    def readinto(self, buffer: Any) -> int:
        data = self._fetch(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self._fetch(self.size)

    def _fetch(self, size: int) -> bytes:
        """Return the next bytes, up to ``size``, and advance."""
        data = self.read_at(self._position, size)
        self._position += len(data)
        return data

    def read_at(self, position: int, size: int) -> bytes:
        """Return up to ``size`` bytes from a position; fewer only at the end of the file."""
        size = min(size, self.size - position)
        return fetch(self._path, partial(self._read, position, size), size) if size > 0 else b""

    def _read(self, offset: int, size: int) -> bytes:
        if self._file is None:
            self._file = self._open_file()
            if self._file.size != self.size:
                raise InputError(
                    f"{self._path}: had {self.size} bytes and now has {self._file.size}; leave it unchanged "
                    "during a run, and run again"
                )
        # It is opened again after a failure: its blocks may lie on other servers by then.
        file, self._file = self._file, None
        data = file.read_range(offset, size)
        self._file = file
        return data


class _RawWriter(io.RawIOBase):
    """A file that is written. Its first :data:`WHOLE` bytes or more, or all, are sent again if that fails.

    So a small file is repeated as a whole, and a large one until DataNodes have been found for its first
    block. After a later failure the file is dropped: to complete it without its last block, the client would
    wait 15 s in vain.
    """

    def __init__(self, path: str, create: Callable[[], FileWriter]) -> None:
        self._path, self._create = path, create
        self._start = bytearray()
        self._file: Any = None
        self._failure: BaseException | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if self._failure:
            raise self._failure
        size = memoryview(data).nbytes
        try:
            if self._file is not None:
                self._file.write(data)
            elif len(self._start) + size < WHOLE:
                self._start += data
            else:
                first = b"".join((self._start, data)) if self._start else data
                self._file = repeat(self._path, partial(self._begin, first))
        except BaseException as error:
            self._file, self._failure = None, error
            raise
        return size

    def discard(self) -> None:
        """Drop what was written; closing the file then does nothing."""
        self._file, self._failure = None, ValueError("the file was discarded")

    def close(self) -> None:
        if self.closed:
            return
        try:
            if self._file is not None:
                self._file.close()
            elif not self._failure:
                repeat(self._path, self._write_whole)
        finally:
            self._file = None
            super().close()

    def _write_whole(self) -> None:
        self._begin(self._start).close()

    def _begin(self, data: Any) -> Any:
        """Create the file and write its first bytes; return the client's file."""
        created = self._create()
        file = created.inner
        io.RawIOBase.close(created)  # else it would complete the file when it is freed
        file.write(data)
        return file

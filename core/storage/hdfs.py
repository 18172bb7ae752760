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
from core.storage.retries import fetch, repeat

BUFFER = 1 << 20
"""Bytes per read. Each read opens a connection to a DataNode."""
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
            return _RawWriter(self.unstrip_protocol(path), create)
        open_file = partial(self.client.read, self._strip_protocol(path))
        return io.BufferedReader(_RawReader(self.unstrip_protocol(path), open_file), BUFFER)


class _RawReader(io.RawIOBase):
    """A file that is read by ranges; one that fails is requested again.

    Seeking past the end stops at the end.
    """

    def __init__(self, path: str, open_file: Callable[[], FileReader]) -> None:
        self._path, self._open_file = path, open_file
        self._file: FileReader | None = open_file()
        self._size, self._position = self._file.size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise InputError(f"{self._path}: byte {start + offset} is before the file; read from 0 on")
        self._position = min(start + offset, self._size)
        return self._position

    def readinto(self, buffer: Any) -> int:
        data = self._fetch(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self._fetch(self._size)

    def _fetch(self, size: int) -> bytes:
        """Return the next bytes, up to ``size``, and advance."""
        size = min(size, self._size - self._position)
        if size <= 0:
            return b""
        data = fetch(self._path, partial(self._read, self._position, size), size)
        self._position += len(data)
        return data

    def _read(self, offset: int, size: int) -> bytes:
        if self._file is None:
            self._file = self._open_file()
            if self._file.size != self._size:
                raise InputError(
                    f"{self._path}: had {self._size} bytes and now has {self._file.size}; leave it unchanged "
                    "during a run, and run again"
                )
        # It is opened again after a failure: its blocks may lie on other servers by then.
        file, self._file = self._file, None
        data = file.read_range(offset, size)
        self._file = file
        return data


class _RawWriter(io.RawIOBase):
    """A file that is written. Its first write, for which a DataNode is chosen, is repeated on a new file.

    After a failed write, closing it only drops it. The client would complete a file without its last block,
    which the NameNode refuses until the client gives up after 15 s.
    """

    def __init__(self, path: str, create: Callable[[], FileWriter]) -> None:
        self._path, self._create = path, create
        self._file: Any = None
        self._has_data = False
        self._failure: Exception | None = None
        self._begin()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self._failure:
            raise self._failure
        written = self._append(data) if self._has_data else repeat(self._path, partial(self._begin, data))
        self._has_data = self._has_data or written > 0
        return written

    def close(self) -> None:
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
        finally:
            super().close()

    def _begin(self, data: Any = b"") -> int:
        if self._file is None:
            file = self._create()
            self._file = file.inner
            io.RawIOBase.close(file)  # else it would complete the file when it is freed
        return self._append(data)

    def _append(self, data: Any) -> int:
        try:
            return int(self._file.write(data))
        except Exception as error:
            self._file, self._failure = None, error if self._has_data else None
            raise

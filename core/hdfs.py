"""HDFS as an fsspec file system: hdfs-native, with its path and seek semantics corrected."""

import io
import os
from typing import Any, ClassVar

from hdfs_native import FileReader
from hdfs_native.fsspec import HdfsFileSystem

BUFFER = 1 << 20
"""Bytes per read. Each read opens a connection to a DataNode."""


class Hdfs(HdfsFileSystem):
    """hdfs-native's file system, for paths that contain ``?``, ``#`` or ``;`` and for processes that fork.

    The base class cuts paths at these characters, as in URLs. Freeing a client waits for its threads, which
    do not exist in a forked process, where fsspec drops its file systems; so clients are never freed.
    """

    _clients: ClassVar[list[Any]] = []

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._clients.append(self.client)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        _, separator, rest = path.partition("://")
        return "/" + rest.partition("/")[2] if separator else path

    def _open(self, path: str, mode: Any = "rb", *arguments: Any, **options: Any) -> Any:
        opened = super()._open(path, mode, *arguments, **options)
        return io.BufferedReader(_RawReader(opened), BUFFER) if mode == "rb" else opened


class _RawReader(io.RawIOBase):
    """Adapter from hdfs-native's reader, whose ``seek`` returns nothing, to :class:`io.RawIOBase`.

    Seeking past the end stops at the end.
    """

    def __init__(self, file: FileReader) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._file.tell(), os.SEEK_END: self._file.size}[whence]
        self._file.seek(min(start + offset, self._file.size))
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self._file.read()

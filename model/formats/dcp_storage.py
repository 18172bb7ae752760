"""Storage backend of torch.distributed.checkpoint for all file systems of :mod:`core.storage`."""

import io
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO, Any, cast

from torch.distributed.checkpoint.filesystem import FileSystemBase, FileSystemReader, FileSystemWriter

from core import storage

Path = str | os.PathLike[str]


class DcpWriter(FileSystemWriter):
    """Writes one file per process, and ``.metadata`` by rank 0, to a folder."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder, sync_files=storage.is_local(folder))
        _set_file_system(self, folder)


class DcpReader(FileSystemReader):
    """Reads what a :class:`DcpWriter` wrote, with any number of processes."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        _set_file_system(self, folder)


def _set_file_system(target: Any, folder: str) -> None:
    """Replace the file system of torch's reader or writer, as torch's own fsspec classes do."""
    target.fs, target.path = _StorageFileSystem(), folder


class _StorageFileSystem(FileSystemBase):
    """The file operations that torch uses."""

    @contextmanager
    def create_stream(self, path: Path, mode: str) -> Generator[io.IOBase, None, None]:
        """Open a file in mode ``rb`` or ``wb``."""
        if mode == "rb":
            with storage.open_read(os.fspath(path)) as source:
                yield cast(io.IOBase, source)
        else:
            fs, inner = storage.filesystem(os.fspath(path))
            with fs.open(inner, mode) as sink:
                yield _TrackingWriter(sink)

    def concat_path(self, path: Path, suffix: str) -> str:
        return storage.join(os.fspath(path), suffix)

    def rename(self, path: Path, new_path: Path) -> None:
        storage.rename(os.fspath(path), os.fspath(new_path))

    def init_path(self, path: Path) -> Path:
        return path

    def mkdir(self, path: Path) -> None:
        fs, inner = storage.filesystem(os.fspath(path))
        fs.makedirs(inner, exist_ok=True)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Path) -> bool:
        return isinstance(checkpoint_id, str)

    def exists(self, path: Path) -> bool:
        return storage.exists(os.fspath(path))

    def rm_file(self, path: Path) -> None:
        storage.remove(os.fspath(path))


class _TrackingWriter(io.RawIOBase):
    """Writable stream that tracks its position, which HDFS streams cannot report.

    ``close`` does not close the wrapped stream: torch closes it and its opener closes it again, which is an
    error on HDFS.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self._stream.write(data)
        self._position += size
        return size

    def tell(self) -> int:
        return self._position

    def fileno(self) -> int:
        return self._stream.fileno()

    def flush(self) -> None:
        if not self.closed:
            self._stream.flush()

"""Where torch.distributed.checkpoint keeps its files: anywhere :mod:`core.storage` reaches."""

import io
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO, Any, cast

from torch.distributed.checkpoint.filesystem import FileSystemBase, FileSystemReader, FileSystemWriter

from core import storage

Path = str | os.PathLike[str]


class DcpWriter(FileSystemWriter):
    """Writes one file per process, and the leading one ``.metadata``, into a folder."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder, sync_files=storage.is_local(folder))
        _redirect(self, folder)


class DcpReader(FileSystemReader):
    """Reads what a :class:`DcpWriter` wrote, any number of processes what any other number did."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        _redirect(self, folder)


def _redirect(parts: Any, folder: str) -> None:
    """Give torch's classes our files: they take them by attribute, as those for fsspec in torch itself do."""
    parts.fs, parts.path = _Files(), folder


class _Files(FileSystemBase):
    """The file operations that torch asks for."""

    @contextmanager
    def create_stream(self, path: Path, mode: str) -> Generator[io.IOBase, None, None]:
        """Open a file for ``rb`` or ``wb``."""
        if mode == "rb":
            with storage.open_read(os.fspath(path)) as source:
                yield cast(io.IOBase, source)
        else:
            fs, inner = storage.filesystem(os.fspath(path))
            with fs.open(inner, mode) as sink:
                yield _Sink(sink)

    def concat_path(self, path: Path, suffix: str) -> str:
        return storage.join(os.fspath(path), suffix)

    def rename(self, path: Path, new_path: Path) -> None:
        fs, inner = storage.filesystem(os.fspath(path))
        fs.mv(inner, storage.filesystem(os.fspath(new_path))[1])

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


class _Sink(io.RawIOBase):
    """A file being written, as torch wants it: it tells its position, which HDFS cannot, and closes twice.

    HDFS takes the second time amiss, so only the opener's closing counts.
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

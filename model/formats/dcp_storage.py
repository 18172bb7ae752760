"""Storage backend of torch.distributed.checkpoint for all file systems of :mod:`core.storage`."""

import hashlib
import io
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO, Any, NoReturn, cast

from torch.distributed.checkpoint.filesystem import FileSystemBase, FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from core import storage
from core.errors import OutputError
from core.manifest import FileEntry
from core.storage.failures import reporting_writes

Path = str | os.PathLike[str]


class DcpWriter(FileSystemWriter):
    """Writes one file per process, and ``.metadata`` by rank 0, to a folder; hashes them while writing.

    The state must be on the CPU. Raises :class:`core.errors.OutputError`, which torch wraps in its
    ``CheckpointException`` in all processes, if the storage fails, or reports another size than was written.
    """

    def __init__(self, folder: str) -> None:
        # Copying ahead is for state on a GPU; it would use the first GPU in all processes.
        super().__init__(folder, sync_files=storage.is_local(folder), per_thread_copy_ahead=0)
        self._folder, self._files = folder, _StorageFileSystem()
        _set_file_system(self, folder, self._files)

    def entries(self) -> list[FileEntry]:
        """Return the files that this process wrote; nothing is read again."""
        start = len(self._folder.rstrip("/")) + 1
        return [
            FileEntry(path=path[start:], size=size, rows=0, sha256=sha256)
            for path, (size, sha256) in sorted(self._files.written.items())
        ]

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Write and verify this process's file."""
        done = super().write_data(plan, planner)
        self._files.verify()
        return done

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Write and verify ``.metadata``."""
        super().finish(metadata, results)
        self._files.verify()


class DcpReader(FileSystemReader):
    """Reads what a :class:`DcpWriter` wrote, with any number of processes."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        _set_file_system(self, folder, _StorageFileSystem())


def _set_file_system(target: Any, folder: str, files: "_StorageFileSystem") -> None:
    """Replace the file system of torch's reader or writer, as torch's own fsspec classes do."""
    target.fs, target.path = files, folder


class _StorageFileSystem(FileSystemBase):
    """The file operations that torch uses."""

    def __init__(self) -> None:
        self.written: dict[str, tuple[int, str]] = {}
        """Size and SHA-256 of each file that was written, by path."""

    def verify(self) -> None:
        """Raise :class:`OutputError` if the storage reports another size of a file than was written."""
        for path, (size, _) in self.written.items():
            found = storage.file_info(path).size
            if found != size:
                raise OutputError(f"{path}: has {found} bytes after {size} were written; check the storage")

    @contextmanager
    def create_stream(self, path: Path, mode: str) -> Generator[io.IOBase, None, None]:
        """Open a file in mode ``rb`` or ``wb``. Failures of writing are raised as :class:`OutputError`."""
        path = os.fspath(path)
        if mode == "rb":
            with storage.open_read(path) as source:
                yield cast(io.IOBase, source)
            return
        writer: _HashingWriter | None = None
        try:
            with storage.open_write(path) as sink:
                writer = _HashingWriter(sink)
                yield writer
        except Exception as error:
            # torch.save replaces a failure in the middle of a tensor by an error of its own.
            _raise(path, (writer and writer.failure) or error)
        self.written[path] = writer.tell(), writer.sha256()

    def concat_path(self, path: Path, suffix: str) -> str:
        return storage.join(os.fspath(path), suffix)

    def rename(self, path: Path, new_path: Path) -> None:
        storage.rename(os.fspath(path), os.fspath(new_path))
        self.written[os.fspath(new_path)] = self.written.pop(os.fspath(path))

    def init_path(self, path: Path) -> Path:
        return path

    def mkdir(self, path: Path) -> None:
        fs, inner = storage.filesystem(os.fspath(path))
        try:
            fs.makedirs(inner, exist_ok=True)
        except Exception as error:
            _raise(os.fspath(path), error)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Path) -> bool:
        return isinstance(checkpoint_id, str)

    def exists(self, path: Path) -> bool:
        return storage.exists(os.fspath(path))

    def rm_file(self, path: Path) -> None:
        storage.remove(os.fspath(path))


@reporting_writes
def _raise(_path: str, error: Exception) -> NoReturn:
    """Raise an error of writing to a path: an :class:`OutputError` if the storage failed."""
    raise error


class _HashingWriter(io.RawIOBase):
    """Writable stream that tracks its position, which HDFS streams cannot report, and its SHA-256.

    ``close`` does not close the wrapped stream: torch closes it and its opener closes it again, which is an
    error on HDFS.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._position = 0
        self._digest = hashlib.sha256()
        self.failure: Exception | None = None
        """Error of the first write that failed."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        try:
            self._stream.write(data)
        except Exception as error:
            self.failure = self.failure or error
            raise
        self._digest.update(data)
        self._position += size
        return size

    def tell(self) -> int:
        return self._position

    def sha256(self) -> str:
        """Return the hash of what was written, in hexadecimal digits."""
        return self._digest.hexdigest()

    def fileno(self) -> int:
        return self._stream.fileno()

    def flush(self) -> None:
        if not self.closed:
            self._stream.flush()

"""Storage: the same paths and operations on local disk, ``s3://`` and ``hdfs://``, with atomic writes.

Python uses fsspec (s3fs for ``s3://``, hdfs-native for ``hdfs://``). Spark uses its Hadoop file systems;
:func:`spark_path` translates paths for it. Set ``AWS_ENDPOINT_URL`` to use an S3 server other than Amazon's;
both sides read it. Single files can also be read, but not written, from ``https://`` servers that support
byte ranges; Spark does not read them.

Requests that fail for a reason that passes are repeated (:mod:`core.storage.retries`). Failures that remain
are raised as :class:`~core.errors.UnavailableError`, and only where nothing is there as
:class:`~core.errors.MissingFileError`.
"""

import glob
import hashlib
import io
import os
import posixpath
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, cast

from fsspec.spec import AbstractFileSystem

from core.errors import GristmillError, InputError, OutputError
from core.storage.failures import is_past_end, reporting, reporting_writes
from core.storage.filesystems import filesystem
from core.storage.listing import HIDDEN, FileInfo, Listing, file_info, list_files, scan
from core.storage.paths import (
    absolute,
    is_local,
    is_web,
    join,
    name,
    spark_literal,
    spark_path,
    temporary_name,
)
from core.storage.retries import retrying

__all__ = [
    "HIDDEN",
    "FileInfo",
    "Listing",
    "abort_uploads",
    "absolute",
    "cache_folder",
    "check_local",
    "checksum",
    "download",
    "exists",
    "file_info",
    "filesystem",
    "is_local",
    "is_web",
    "join",
    "list_files",
    "local_copy",
    "name",
    "open_read",
    "open_write",
    "read_bytes",
    "read_range",
    "remove",
    "rename",
    "scan",
    "spark_literal",
    "spark_path",
    "upload",
    "write_atomic",
]

CHUNK = 1 << 22
"""Bytes per read when a file is copied or hashed."""

READ_AHEAD = 1 << 22
"""Bytes requested beyond those that are read: enough for few requests, small compared to an input split."""


def cache_folder(*parts: str) -> str:
    """Return a path below ``gristmill`` in the user's cache folder.

    ``gristmill`` is created if necessary, the folders below it are not. The temporary folder is used if the
    cache folder cannot be created, as for a user without a home directory.
    """
    root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    folder = join(root, "gristmill")
    try:
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103
    except OSError:
        folder = join(tempfile.gettempdir(), f"gristmill-{os.getuid()}")
        os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103
    return join(folder, *parts)


@reporting
@retrying
def exists(path: str) -> bool:
    """True if there is a file or folder at ``path``."""
    fs, inner = filesystem(path)
    return bool(fs.exists(inner))


def check_local(path: str) -> None:
    """Raise :class:`InputError` if nothing is at a local ``path`` (a file, a folder or a glob).

    Remote paths are not checked.
    """
    if is_local(path):
        list_files(absolute(path))


@reporting
@retrying
def open_read(path: str) -> BinaryIO:
    """Open a file for binary reading; the stream can seek.

    Raises :class:`MissingFileError` if it is missing. Reading from a remote file repeats requests that fail
    or come back short, and raises errors of ours, never :class:`OSError` or less data.
    """
    fs, inner = filesystem(path)
    remote = is_web(path) or path.startswith("s3://")
    stream = fs.open(inner, "rb", block_size=READ_AHEAD) if remote else fs.open(inner, "rb")
    if path.startswith("s3://") and not stream.size and fs.isdir(inner):
        raise IsADirectoryError  # s3fs opens a folder as an empty file
    if is_web(path) and not stream.size:
        return _empty_stream(path)
    return cast(BinaryIO, stream)


@contextmanager
def open_write(path: str) -> Iterator[BinaryIO]:
    """Open a file for binary writing. It appears, whole, when the block ends; after an exception, not at all.

    Failures of the storage are raised as they come, since only the caller knows those of its own; on HDFS,
    the beginning of a file is repeated before.
    """
    _check_writable(path)
    fs, inner = filesystem(path)
    on_s3 = path.startswith("s3://")
    target = inner if on_s3 else temporary_name(inner)
    if not on_s3:
        fs.makedirs(fs._parent(inner), exist_ok=True)
    stream = fs.open(target, "wb")
    try:
        yield cast(BinaryIO, stream)
        stream.close()
        if not on_s3:
            _replace(fs, target, inner)
    except BaseException:
        with suppress(Exception):
            # On S3, closing would publish what was written so far; on HDFS, it would still be sent.
            stream.discard() if path.startswith(("s3://", "hdfs://")) else stream.close()
        if on_s3:
            stream.closed = True
        else:
            with suppress(Exception):
                fs.rm_file(target)
        raise


@reporting
@retrying
def read_bytes(path: str) -> bytes:
    """Read a small file at one moment in time. Raises :class:`MissingFileError` if it is missing."""
    fs, inner = filesystem(path)
    return cast(bytes, fs.cat_file(inner))


@reporting
@retrying
def read_range(path: str, offset: int, length: int) -> bytes:
    """Read ``length`` bytes from ``offset`` with one request; fewer if the file ends earlier.

    Raises :class:`MissingFileError` if the file is missing.
    """
    if is_local(path):
        with open(absolute(path).removeprefix("file://"), "rb") as stream:  # noqa: PTH123 (paths are strings)
            stream.seek(offset)
            return stream.read(length)
    fs, inner = filesystem(path)
    try:
        data = cast(bytes, fs.cat_file(inner, start=offset, end=offset + length))
    except Exception as error:
        if is_past_end(error):
            return b""
        raise
    if len(data) > length:
        raise InputError(f"{path}: its server ignores byte ranges, which must be answered; use another one")
    return data


def write_atomic(path: str, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically: no reader ever sees a partial file."""
    _put_atomic(path, lambda fs, target: fs.pipe_file(target, data))


def upload(local: str, path: str) -> None:
    """Copy a finished local file to ``path`` atomically."""
    _put_atomic(path, lambda fs, target: fs.put_file(local, target))


@reporting_writes
@retrying
def _put_atomic(path: str, put: Callable[[AbstractFileSystem, str], object]) -> None:
    """Call ``put`` for ``path`` on an object store, whose put is atomic; elsewhere for a file to rename."""
    _check_writable(path)
    fs, inner = filesystem(path)
    if path.startswith("s3://"):
        put(fs, inner)
        return
    temporary = temporary_name(inner)
    fs.makedirs(fs._parent(inner), exist_ok=True)
    try:
        put(fs, temporary)
        _replace(fs, temporary, inner)
    except BaseException:
        with suppress(Exception):
            fs.rm_file(temporary)
        raise


@reporting_writes
def rename(path: str, new_path: str) -> None:
    """Rename a file; on object stores, copy it and remove the original."""
    (fs, source), (_, target) = filesystem(path), filesystem(new_path)
    tried = False

    @retrying
    def move(_: str) -> None:
        nonlocal tried
        if tried and not fs.exists(source) and fs.exists(target):
            return  # an attempt succeeded although its answer was lost
        tried = True
        if path.startswith("s3://"):  # s3fs moves what a glob matches.
            fs.cp_file(source, target)
            fs.rm_file(source)
        else:
            _replace(fs, source, target)

    move(path)


@reporting
@retrying
def download(path: str, local: str) -> None:
    """Copy a file to a local path. Raises :class:`MissingFileError` if it is missing."""
    fs, inner = filesystem(path)
    fs.get_file(inner, local)


@reporting
def local_copy(path: str) -> str:
    """Return a local path to the file or folder at ``path``; remote ones are copied to the cache once.

    The copy is keyed by the version of every file, so rewritten files are copied again. Raises
    :class:`InputError` if there is nothing at ``path``.
    """
    if is_local(path):
        list_files(path)
        return absolute(path.removeprefix("file://"))
    files = list_files(path)
    versions = "".join(f"{file.path} {file.size} {file.version}\n" for file in files)
    folder = cache_folder("copies", hashlib.sha256(versions.encode()).hexdigest()[:32])
    for file in files:
        copy = join(folder, file.path.removeprefix(path).lstrip("/") or name(path))
        if not exists(copy):
            os.makedirs(posixpath.dirname(copy), exist_ok=True)  # noqa: PTH103 (paths here are strings)
            temporary = temporary_name(copy)
            download(file.path, temporary)
            _replace(filesystem(copy)[0], temporary, copy)
    return join(folder, name(path)) if [file.path for file in files] == [path] else folder


@reporting_writes
@retrying
def remove(path: str) -> None:
    """Remove a file or folder if it exists; folders recursively."""
    fs, inner = filesystem(path)
    if fs.exists(inner):
        fs.rm(
            glob.escape(inner) if path.startswith("s3://") else inner, recursive=True
        )  # s3fs expects a glob


def abort_uploads(folder: str) -> int:
    """Abort the multipart uploads to files below a folder on S3, and return their number; 0 elsewhere.

    Jobs that are killed leave them, invisible and charged for. Call it only while nobody else writes there.
    They do no harm: where a server or its permissions (``s3:ListBucketMultipartUploads``) do not allow it, a
    warning is printed.
    """
    if not folder.startswith("s3://"):
        return 0
    try:
        return _abort_uploads(folder)
    except GristmillError as error:
        print(f"warning: uploads of killed jobs are not looked for: {error}", file=sys.stderr)
        return 0


@reporting_writes
def _abort_uploads(folder: str) -> int:
    fs, inner = filesystem(folder)
    return cast(int, cast(Any, fs).abort_uploads(inner))


@reporting_writes
@retrying
def remove_others(path: str, kept: Collection[str]) -> None:
    """Remove the files below a folder, hidden ones included, whose paths in it are not among ``kept``.

    Raises :class:`OutputError` if one that is to be kept is missing; then nothing is removed.
    """
    fs, inner = filesystem(path)
    found = {each.removeprefix(inner).lstrip("/"): each for each in fs.find(inner)}
    if missing := sorted(set(kept) - found.keys()):
        raise OutputError(f"{join(path, missing[0])}: was written, but is missing; run this again")
    for other in sorted(found.keys() - set(kept)):
        fs.rm_file(found[other])


def checksum(path: str) -> tuple[int, str]:
    """Return size in bytes and SHA-256 (hexadecimal) of a file, read in chunks."""
    digest, size = hashlib.sha256(), 0
    with open_read(path) as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def _empty_stream(path: str) -> BinaryIO:
    """Return a stream for an empty web file. fsspec reports size 0 for servers without byte ranges, too."""
    if file_info(path).size:
        raise InputError(f"{path}: its server ignores byte ranges, which must be answered; use another one")
    return io.BytesIO()


def _check_writable(path: str) -> None:
    if is_web(path):
        raise OutputError(f"{path}: web servers are only read; choose a local path, s3:// or hdfs://")


def _replace(fs: AbstractFileSystem, source: str, target: str) -> None:
    if "file" in fs.protocol:
        os.replace(source, target)  # noqa: PTH105 (paths here are strings, whatever the file system)
        return
    fs.mv(source, target, overwrite=True)

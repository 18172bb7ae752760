"""Storage: the same paths and operations on local disk, ``s3://`` and ``hdfs://``, with atomic writes.

Python uses fsspec (s3fs for ``s3://``, hdfs-native for ``hdfs://``). Spark uses its Hadoop file systems;
:func:`spark_path` translates paths for it. Set ``AWS_ENDPOINT_URL`` to use an S3 server other than Amazon's;
both sides read it. Single files can also be read, but not written, from ``https://`` servers that support
byte ranges; Spark does not read them.
"""

import errno
import hashlib
import io
import os
import posixpath
import re
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import fsspec
from fsspec.spec import AbstractFileSystem

from core.errors import InputError
from core.hdfs import Hdfs

CHUNK = 1 << 22
"""Bytes per read when a file is copied or hashed."""

READ_AHEAD = 1 << 22
"""Bytes requested beyond those that are read: enough for few requests, small compared to an input split."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file: its path as the user writes it, size in bytes, and a token that changes on every rewrite."""

    path: str
    size: int
    version: str


def filesystem(path: str) -> tuple[AbstractFileSystem, str]:
    """Return the fsspec file system of ``path``, and the path in that file system's own form."""
    if path.startswith("hdfs://"):
        server = urlsplit(path)
        return Hdfs(server.hostname, server.port), Hdfs._strip_protocol(path)
    options: dict[str, Any] = {"use_listings_cache": False} if path.startswith("s3://") else {}
    try:
        fs, inner = fsspec.core.url_to_fs(path, **options)
    except ValueError as error:
        raise InputError(f"{path}: {error}; use a local path, s3://, hdfs:// or https://") from None
    return cast(AbstractFileSystem, fs), cast(str, inner)


def is_web(path: str) -> bool:
    """True if ``path`` is a file on a web server."""
    return path.startswith(("https://", "http://"))


def is_local(path: str) -> bool:
    """True if ``path`` is on a local disk."""
    return "://" not in path or path.startswith("file://")


def absolute(path: str) -> str:
    """Return a local path as an absolute one, and a remote path without a trailing slash."""
    if "://" in path:
        return path.rstrip("/")
    return os.path.abspath(path)  # noqa: PTH100 (symbolic links stay as they are)


def join(path: str, *parts: str) -> str:
    """Append components to ``path``."""
    return "/".join([path.rstrip("/"), *parts])


def name(path: str) -> str:
    """Return the last component of ``path``."""
    return posixpath.basename(path.rstrip("/"))


def spark_path(path: str) -> str:
    """Return ``path`` in the form of Spark's Hadoop file systems: ``s3a://``, ``hdfs://`` or ``file://``."""
    if path.startswith("s3://"):
        return "s3a://" + path.removeprefix("s3://")
    return path if "://" in path else "file://" + absolute(path)


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


def open_read(path: str) -> BinaryIO:
    """Open a file for binary reading; the stream can seek. Raises :class:`InputError` if it is missing."""
    fs, inner = filesystem(path)
    try:
        remote = is_web(path) or path.startswith("s3://")
        stream = fs.open(inner, "rb", block_size=READ_AHEAD) if remote else fs.open(inner, "rb")
        if path.startswith("s3://") and not stream.size and fs.isdir(inner):
            raise IsADirectoryError  # s3fs opens a folder as an empty file
        if is_web(path) and not stream.size:
            return _empty_stream(path)
        return cast(BinaryIO, stream)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: no such file; check the path") from None


def read_bytes(path: str) -> bytes:
    """Read a small file at one moment in time. Raises :class:`InputError` if it is missing."""
    fs, inner = filesystem(path)
    try:
        return cast(bytes, fs.cat_file(inner))
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: no such file; check the path") from None


def read_range(path: str, offset: int, length: int) -> bytes:
    """Read ``length`` bytes from ``offset`` with one request; fewer if the file ends earlier.

    Raises :class:`InputError` if the file is missing.
    """
    fs, inner = filesystem(path)
    try:
        data = cast(bytes, fs.cat_file(inner, start=offset, end=offset + length))
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: no such file; check the path") from None
    except Exception as error:
        if _is_past_end(error):
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


def _put_atomic(path: str, put: Callable[[AbstractFileSystem, str], object]) -> None:
    """Call ``put`` for ``path`` on an object store, whose put is atomic; elsewhere for a file to rename."""
    fs, inner = filesystem(path)
    if path.startswith("s3://"):
        put(fs, inner)
        return
    temporary = _temporary(inner)
    fs.makedirs(fs._parent(inner), exist_ok=True)
    put(fs, temporary)
    _replace(fs, temporary, inner)


def download(path: str, local: str) -> None:
    """Copy a file to a local path. Raises :class:`InputError` if it is missing."""
    fs, inner = filesystem(path)
    try:
        fs.get_file(inner, local)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None


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
            temporary = _temporary(copy)
            download(file.path, temporary)
            _replace(filesystem(copy)[0], temporary, copy)
    return join(folder, name(path)) if [file.path for file in files] == [path] else folder


def list_files(path: str) -> list[FileInfo]:
    """List the files at or below ``path`` (a file, a folder or a glob), sorted by path.

    Names that begin with ``.`` or ``_`` are skipped, as in Spark. On a web server, ``path`` must be a file.
    Raises :class:`InputError` if nothing is found.
    """
    if is_web(path):
        return [file_info(path)]
    fs, inner = filesystem(path)
    # Literal components of the glob may begin with "." or "_"; components matched by wildcards may not.
    literal = re.match(r"(?:[^*?[]*/)?", inner) if re.search(r"[*?[]", inner) else None
    roots: list[str] = sorted(fs.glob(inner)) if literal else [inner]
    if not roots or not fs.exists(roots[0]):
        raise InputError(f"{path}: nothing there; check the path")
    prefix = path.partition("://")[0] + "://" if "://" in path else ""
    found: dict[str, FileInfo] = {}
    for root in roots:
        for inner_path, info in fs.find(root, detail=True).items():
            below = inner_path.removeprefix(literal[0] if literal else root).split("/")
            # On S3, Hadoop marks folders with empty objects whose names end in a slash.
            is_file = info["type"] == "file" and not inner_path.endswith("/")
            if is_file and not any(part.startswith((".", "_")) for part in below):
                file_path = _user_path(prefix, inner_path, path)
                found[file_path] = FileInfo(file_path, int(info["size"]), _version(info))
    if not found:
        raise InputError(f"{path}: no files in it; check the path")
    return [found[file_path] for file_path in sorted(found)]


def file_info(path: str) -> FileInfo:
    """Return size and version of one file. Raises :class:`InputError` if it is missing."""
    fs, inner = filesystem(path)
    try:
        info = fs.info(inner)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    if info["type"] != "file" or info["size"] is None:
        raise InputError(f"{path}: not a file of known size; check the path")
    return FileInfo(path, int(info["size"]), _version(info))


def remove(path: str) -> None:
    """Remove a file or folder if it exists; folders recursively."""
    fs, inner = filesystem(path)
    if fs.exists(inner):
        fs.rm(inner, recursive=True)


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


def _is_past_end(error: Exception) -> bool:
    """True if an error of s3fs or aiohttp says that a range starts past the end of the file."""
    return getattr(error, "errno", None) == errno.EINVAL or getattr(error, "status", None) == 416


def _temporary(inner: str) -> str:
    return f"{posixpath.dirname(inner)}/.{posixpath.basename(inner)}.{uuid.uuid4().hex}"


def _replace(fs: AbstractFileSystem, source: str, target: str) -> None:
    if "file" in fs.protocol:
        os.replace(source, target)  # noqa: PTH105 (paths here are strings, whatever the file system)
        return
    fs.mv(source, target, overwrite=True)


def _user_path(prefix: str, inner: str, listed: str) -> str:
    """Return the path as the user would write it; ``listed`` is the path that was listed."""
    if prefix in ("", "file://"):
        return inner
    if prefix == "hdfs://":
        authority = listed.removeprefix(prefix).partition("/")[0]
        return f"{prefix}{authority}/{inner.removeprefix(prefix + authority).lstrip('/')}"
    return prefix + inner


def _version(info: dict[str, Any]) -> str:
    for key in ("ETag", "mtime", "modification_time", "LastModified", "Last-Modified"):
        if info.get(key) is not None:
            return str(info[key])
    return ""

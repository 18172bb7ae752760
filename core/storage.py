"""One user-visible path for local disk, ``s3://`` and ``hdfs://``, and files that appear whole or not at all.

Python reads and writes through fsspec (``s3://`` by s3fs, ``hdfs://`` by hdfs-native); Spark uses its
own Hadoop file systems, for which :func:`spark_path` translates. An S3 server other than Amazon's is named
by the standard variable ``AWS_ENDPOINT_URL``, for both. Single files are also read from ``https://`` servers
that answer byte ranges; Spark does not read there and nothing is written.
"""

import errno
import hashlib
import io
import os
import posixpath
import re
import tempfile
import uuid
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, cast
from urllib.parse import urlsplit

import fsspec
from fsspec.spec import AbstractFileSystem
from hdfs_native import FileReader
from hdfs_native.fsspec import HdfsFileSystem

from core.errors import InputError

CHUNK = 1 << 22
"""Bytes read at a time when a file is copied or hashed."""

READ_AHEAD = 1 << 22
"""Bytes asked of a server beyond those that are read: enough to wait for it seldom, little beside a split."""

HDFS_BUFFER = 1 << 20
"""Bytes read at a time of an HDFS file: each read asks a DataNode anew."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One file: its user-visible path, size in bytes, and a token that changes when it is rewritten."""

    path: str
    size: int
    version: str


class _Hdfs(HdfsFileSystem):
    """HDFS whose paths are paths: hdfs-native's own class cuts them at ``?``, ``#`` and ``;``, like URLs.

    A client that is freed waits for its threads, which a forked process does not have, where fsspec forgets
    its file systems. So none is ever freed.
    """

    _clients: ClassVar[list[Any]] = []

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._clients.append(self.client)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        _, sign, rest = path.partition("://")
        return "/" + rest.partition("/")[2] if sign else path

    def _open(self, path: str, mode: Any = "rb", *arguments: Any, **options: Any) -> Any:
        opened = super()._open(path, mode, *arguments, **options)
        return io.BufferedReader(_HdfsReader(opened), HDFS_BUFFER) if mode == "rb" else opened


class _HdfsReader(io.RawIOBase):
    """An open HDFS file as Python's buffers want it: hdfs-native's own does not tell where a seek led.

    Behind the end there is nothing to seek.
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
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._file.tell(), os.SEEK_END: self._file.size}[whence]
        self._file.seek(min(begin + offset, self._file.size))
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self._file.read()


def filesystem(path: str) -> tuple[AbstractFileSystem, str]:
    """The fsspec file system of ``path``, and the path as that file system spells it."""
    if path.startswith("hdfs://"):
        server = urlsplit(path)
        return _Hdfs(server.hostname, server.port), _Hdfs._strip_protocol(path)
    options: dict[str, Any] = {"use_listings_cache": False} if path.startswith("s3://") else {}
    try:
        fs, inner = fsspec.core.url_to_fs(path, **options)
    except ValueError as error:
        raise InputError(f"{path}: {error}; use a local path, s3://, hdfs:// or https://") from None
    return cast(AbstractFileSystem, fs), cast(str, inner)


def is_web(path: str) -> bool:
    """Whether ``path`` is one file of a web server."""
    return path.startswith(("https://", "http://"))


def is_local(path: str) -> bool:
    """Whether ``path`` is on this machine's own disk."""
    return "://" not in path or path.startswith("file://")


def absolute(path: str) -> str:
    """``path`` with a local part made absolute; remote paths as they are, without a trailing slash."""
    if "://" in path:
        return path.rstrip("/")
    return os.path.abspath(path)  # noqa: PTH100 (symbolic links stay as they are)


def join(path: str, *parts: str) -> str:
    """A path below ``path``."""
    return "/".join([path.rstrip("/"), *parts])


def name(path: str) -> str:
    """The last component of ``path``."""
    return posixpath.basename(path.rstrip("/"))


def spark_path(path: str) -> str:
    """``path`` as Spark's Hadoop file systems want it: ``s3a://``, ``hdfs://`` or ``file://``."""
    if path.startswith("s3://"):
        return "s3a://" + path.removeprefix("s3://")
    return path if "://" in path else "file://" + absolute(path)


def cache_folder(*parts: str) -> str:
    """Return a path below ``gristmill`` in the user's cache, which is created if necessary.

    Where no such folder can be created (a user without a home), the temporary folder takes its place.
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
    """Whether a file or folder stands at ``path``."""
    fs, inner = filesystem(path)
    return bool(fs.exists(inner))


def open_read(path: str) -> BinaryIO:
    """Open a file for binary reading, seekable. Raises :class:`InputError` where there is none."""
    fs, inner = filesystem(path)
    try:
        remote = is_web(path) or path.startswith("s3://")
        stream = fs.open(inner, "rb", block_size=READ_AHEAD) if remote else fs.open(inner, "rb")
        if path.startswith("s3://") and not stream.size and fs.isdir(inner):
            raise IsADirectoryError  # s3fs opens a folder as an empty file
        if is_web(path) and not stream.size:
            return _empty(path)
        return cast(BinaryIO, stream)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: no such file; check the path") from None


def read_bytes(path: str) -> bytes:
    """A whole small file, as it was at one moment. Raises :class:`InputError` where there is none."""
    fs, inner = filesystem(path)
    try:
        return cast(bytes, fs.cat_file(inner))
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: no such file; check the path") from None


def read_range(path: str, offset: int, length: int) -> bytes:
    """The bytes from ``offset`` on by one request for just them; fewer where the file ends before.

    Raises :class:`InputError` where there is no file.
    """
    fs, inner = filesystem(path)
    try:
        data = cast(bytes, fs.cat_file(inner, start=offset, end=offset + length))
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: no such file; check the path") from None
    except Exception as error:
        if _is_beyond_end(error):
            return b""
        raise
    if len(data) > length:
        raise InputError(f"{path}: its server ignores byte ranges, which must be answered; use another one")
    return data


def write_atomic(path: str, data: bytes) -> None:
    """Write ``data`` to ``path`` so that no reader ever sees a part of it.

    An object store's put is atomic by itself; elsewhere the file is written beside and renamed.
    """
    fs, inner = filesystem(path)
    if path.startswith("s3://"):
        fs.pipe_file(inner, data)
        return
    beside = _beside(inner)
    fs.makedirs(fs._parent(inner), exist_ok=True)
    fs.pipe_file(beside, data)
    _replace(fs, beside, inner)


def upload(local: str, path: str) -> None:
    """Copy a finished local file to ``path`` so that no reader ever sees a part of it."""
    fs, inner = filesystem(path)
    if path.startswith("s3://"):
        fs.put_file(local, inner)
        return
    beside = _beside(inner)
    fs.makedirs(fs._parent(inner), exist_ok=True)
    fs.put_file(local, beside)
    _replace(fs, beside, inner)


def download(path: str, local: str) -> None:
    """Copy a file from wherever it lies to a local path. Raises :class:`InputError` where there is none."""
    fs, inner = filesystem(path)
    try:
        fs.get_file(inner, local)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None


def local_copy(path: str) -> str:
    """A local path with what stands at ``path``, a file or folder: a remote one is copied to the cache once.

    Its copy is named after the version of every file, so that what is rewritten is copied anew. Raises
    :class:`InputError` where there is nothing.
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
            beside = _beside(copy)
            download(file.path, beside)
            _replace(filesystem(copy)[0], beside, copy)
    return join(folder, name(path)) if [file.path for file in files] == [path] else folder


def list_files(path: str) -> list[FileInfo]:
    """The files at or below ``path`` (a file, a folder or a glob), sorted by path.

    Names that begin with ``.`` or ``_`` are left out, as Spark does. Raises :class:`InputError` where nothing
    is found. A web server has no folders: there, ``path`` is a file.
    """
    if is_web(path):
        return [file_info(path)]
    fs, inner = filesystem(path)
    # What the glob itself names may begin with "." or "_", what its wildcards match may not.
    literal = re.match(r"(?:[^*?[]*/)?", inner) if re.search(r"[*?[]", inner) else None
    roots: list[str] = sorted(fs.glob(inner)) if literal else [inner]
    if not roots or not fs.exists(roots[0]):
        raise InputError(f"{path}: nothing there; check the path")
    prefix = path.partition("://")[0] + "://" if "://" in path else ""
    found: dict[str, FileInfo] = {}
    for root in roots:
        for inner_path, info in fs.find(root, detail=True).items():
            below = inner_path.removeprefix(literal[0] if literal else root).split("/")
            # On S3, Hadoop marks folders by empty objects whose names end in a slash.
            is_file = info["type"] == "file" and not inner_path.endswith("/")
            if is_file and not any(part.startswith((".", "_")) for part in below):
                visible = _visible(prefix, inner_path, path)
                found[visible] = FileInfo(visible, int(info["size"]), _version(info))
    if not found:
        raise InputError(f"{path}: no files in it; check the path")
    return [found[visible] for visible in sorted(found)]


def file_info(path: str) -> FileInfo:
    """Size and version of one file. Raises :class:`InputError` where there is none."""
    fs, inner = filesystem(path)
    try:
        info = fs.info(inner)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    if info["type"] != "file" or info["size"] is None:
        raise InputError(f"{path}: not a file of known size; check the path")
    return FileInfo(path, int(info["size"]), _version(info))


def remove(path: str) -> None:
    """Remove a file or a whole folder, if it is there."""
    fs, inner = filesystem(path)
    if fs.exists(inner):
        fs.rm(inner, recursive=True)


def checksum(path: str) -> tuple[int, str]:
    """Size in bytes and SHA-256 (hexadecimal) of a file, read in pieces."""
    digest, size = hashlib.sha256(), 0
    with open_read(path) as stream:
        while piece := stream.read(CHUNK):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()


def _empty(path: str) -> BinaryIO:
    """What stands for a web file in which fsspec cannot seek, if it is for want of bytes."""
    if file_info(path).size:
        raise InputError(f"{path}: its server ignores byte ranges, which must be answered; use another one")
    return io.BytesIO()


def _is_beyond_end(error: Exception) -> bool:
    """Whether a server says, as s3fs or aiohttp puts it, that a range begins after the file's end."""
    return getattr(error, "errno", None) == errno.EINVAL or getattr(error, "status", None) == 416


def _beside(inner: str) -> str:
    return f"{posixpath.dirname(inner)}/.{posixpath.basename(inner)}.{uuid.uuid4().hex}"


def _replace(fs: AbstractFileSystem, source: str, target: str) -> None:
    if "file" in fs.protocol:
        os.replace(source, target)  # noqa: PTH105 (paths here are strings, whatever the file system)
        return
    fs.mv(source, target, overwrite=True)


def _visible(prefix: str, inner: str, asked: str) -> str:
    """The path as the user would write it."""
    if prefix in ("", "file://"):
        return inner
    if prefix == "hdfs://":
        authority = asked.removeprefix(prefix).partition("/")[0]
        return f"{prefix}{authority}/{inner.removeprefix(prefix + authority).lstrip('/')}"
    return prefix + inner


def _version(info: dict[str, Any]) -> str:
    for key in ("ETag", "mtime", "modification_time", "LastModified", "Last-Modified"):
        if info.get(key) is not None:
            return str(info[key])
    return ""

"""Listing of files: folders, globs and links, on every kind of storage."""

import errno
import glob
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem
from fsspec.utils import glob_translate

from core.errors import InputError, MissingFileError
from core.storage.failures import reporting
from core.storage.filesystems import filesystem
from core.storage.paths import is_web, scheme
from core.storage.retries import retrying

_WILDCARD = re.compile(r"[*?[]")
_HIDDEN = re.compile(r"(?:(?<=/)|^)[._][^/]*")
HIDDEN = "hidden"
"""Cause to skip what is not meant as data. Any other cause may mean that data is not listed."""
_Found = tuple[str, tuple[int, str] | str]
"""A path, and its size and version or the cause to skip it."""
_MARKER = re.compile(
    r"/(?:_SUCCESS|_started_[^/]*|_committed_[^/]*|_(?:common_)?metadata|\.[^/]*\.crc|\.DS_Store)$"
)
"""Files that Spark, databases and desktops leave beside data: they are skipped without mention."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file: its path as the user writes it, size in bytes, and a token that changes on every rewrite."""

    path: str
    size: int
    version: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The files at or below a path, and what is there but is not read."""

    files: list[FileInfo] = field(default_factory=list)
    """Sorted by path."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Why each other path is skipped. A hidden folder counts as one path."""


def list_files(path: str) -> list[FileInfo]:
    """Return the files of :func:`scan`."""
    return scan(path).files


@reporting
@retrying
def scan(path: str) -> Listing:
    """List the files at or below ``path``: a file, a folder or, if nothing has that name, a glob.

    Symbolic links are followed; a link to a folder that contains it, and one to nothing, are skipped. Names
    that begin with ``.`` or ``_`` are skipped, as in Spark, unless ``path`` names them. On a web server,
    ``path`` must be a file. Raises :class:`MissingFileError` if there are no files, :class:`InputError` if
    all are skipped and some not by their names, :class:`UnavailableError` if a remote folder is not listed.
    """
    if is_web(path):
        return Listing([file_info(path)])
    fs, inner = filesystem(path)
    literal, pattern = _split_glob(fs, inner)
    if not pattern and not _exists(fs, inner):
        raise MissingFileError(f"{path}: nothing there; check the path")
    prefix = path.partition("://")[0] + "://" if scheme(path) else ""
    found: dict[str, FileInfo] = {}
    skipped: dict[str, str] = {}
    # Components that wildcards match may be hidden; those that the user wrote are wanted.
    named = len(literal)
    for inner_path, file in _glob(fs, literal, pattern) if pattern else _find(fs, inner):
        user_path = _user_path(prefix, inner_path, path)
        if hidden := _HIDDEN.search(inner_path, named):
            if not _MARKER.search(inner_path):
                skipped[user_path[: len(user_path) - len(inner_path) + hidden.end()]] = HIDDEN
        elif isinstance(file, str):
            skipped[user_path] = file
        else:
            found[user_path] = FileInfo(user_path, *file)
    if pattern and not found and not skipped:
        raise MissingFileError(f"{path}: nothing there; check the path")
    if not found:
        causes = ", ".join(sorted(set(skipped.values())))
        kind = MissingFileError if set(skipped.values()) <= {HIDDEN} else InputError
        raise kind(
            f"{path}: no files in it{f' but skipped ones ({causes})' if causes else ''}; check the path"
        )
    printable = {file.encode(errors="backslashreplace").decode(): skipped[file] for file in sorted(skipped)}
    return Listing([found[file] for file in sorted(found)], printable)


@reporting
@retrying
def file_info(path: str) -> FileInfo:
    """Return size and version of one file. Raises :class:`MissingFileError` if it is missing."""
    fs, inner = filesystem(path)
    info = fs.info(inner)
    if info["type"] != "file" or info["size"] is None:
        raise InputError(f"{path}: not a file of known size; check the path")
    return FileInfo(path, int(info["size"]), _version(info))


def _split_glob(fs: AbstractFileSystem, inner: str) -> tuple[str, str]:
    """Split a path into an existing folder and the glob below it, empty if the path has no wildcards.

    A component that exists is not a glob, whatever characters it has.
    """
    at = 0
    while wildcard := _WILDCARD.search(inner, at):
        end = inner.find("/", wildcard.start())
        if not _exists(fs, inner[:end] if end > 0 else inner):
            start = inner.rfind("/", 0, wildcard.start()) + 1
            return inner[:start], inner[start:]
        at = end if end > 0 else len(inner)
    return inner, ""


def _exists(fs: AbstractFileSystem, inner: str) -> bool:
    """True if there is a file, a folder or a local link, even to nothing."""
    return os.path.lexists(inner) if isinstance(fs, LocalFileSystem) else bool(fs.exists(inner))


def _glob(fs: AbstractFileSystem, folder: str, pattern: str) -> Iterator[_Found]:
    """Do as :func:`_find` for each path that matches a glob below an existing folder."""
    above, recursive, below = pattern.partition("**")
    if not isinstance(fs, LocalFileSystem):
        for root in cast(list[str], fs.glob(glob.escape(folder) + pattern)):
            yield from _find(fs, root)
    elif not recursive:
        for root in glob.glob(pattern, root_dir=folder, include_hidden=True):  # noqa: PTH207
            yield from _find(fs, folder + root)
    else:
        # Python's glob would follow the links of a loop forty times.
        matches = re.compile(glob_translate(recursive + below)).match
        parents = glob.glob(above, root_dir=folder, include_hidden=True) if above else [""]  # noqa: PTH207
        for parent in parents:
            start = len(folder + parent)
            for path, file in _find(fs, (folder + parent).rstrip("/") or "/"):
                if any(matches(path, start, end) for end in _component_ends(path, start)):
                    yield path, file


def _component_ends(path: str, start: int) -> list[int]:
    """Return where each component of ``path`` from ``start`` on ends."""
    return [match.start() for match in re.compile("/|$").finditer(path, start)]


def _find(fs: AbstractFileSystem, root: str) -> Iterator[_Found]:
    """Yield the files at or below ``root``, each with size and version, or with the cause to skip it."""
    if isinstance(fs, LocalFileSystem):
        yield from _find_local(root, frozenset())
        return
    for path, info in fs.find(root, detail=True).items():
        # On S3, Hadoop marks folders with empty objects whose names end in a slash.
        if info["type"] == "file" and not path.endswith("/"):
            yield path, (int(info["size"]), _version(info))


def _find_local(path: str, parents: frozenset[tuple[int, int]]) -> Iterator[_Found]:
    """Do as :func:`_find`; ``parents`` are the device and inode of each folder that contains ``path``."""
    try:
        status = os.stat(path)  # noqa: PTH116 (paths here are strings)
        names = sorted(os.listdir(path)) if stat.S_ISDIR(status.st_mode) else []  # noqa: PTH208
    except OSError as error:
        is_dangling = error.errno in (errno.ENOENT, errno.ELOOP)
        yield path, "a link to nothing" if is_dangling else str(error.strerror).lower()
        return
    identity = status.st_dev, status.st_ino
    if identity in parents:
        yield path, "a link to a folder that contains it"
    elif stat.S_ISDIR(status.st_mode):
        for name in names:
            yield from _find_local(f"{path.rstrip('/')}/{name}", parents | {identity})
    elif not stat.S_ISREG(status.st_mode):
        yield path, "not a regular file"
    elif not _is_utf8(path):
        yield path, "its name is not UTF-8"
    else:
        yield path, (status.st_size, str(status.st_mtime))


def _is_utf8(path: str) -> bool:
    """False if a local path contains bytes that are not UTF-8, which Python represents by surrogates."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


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

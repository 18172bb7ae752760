"""Paths: the file system of each, and the forms that fsspec, Spark and users write it in."""

import inspect
import os
import posixpath
import re
from typing import Any, cast
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem

from core.errors import InputError
from core.hdfs import Hdfs
from core.storage.servers import check_server

_HADOOP_MAGIC = re.compile(r"[][{}*?\\]")
"""Characters with a meaning in the globs of Hadoop, which a backslash takes from them."""


def filesystem(path: str) -> tuple[AbstractFileSystem, str]:
    """Return the fsspec file system of ``path``, and the path in that file system's own form."""
    if is_local(path):
        return LocalFileSystem(), absolute(path).removeprefix("file://")
    check_server(path)
    if path.startswith("hdfs://"):
        return _hdfs(path), Hdfs._strip_protocol(path)
    options: dict[str, Any] = {"use_listings_cache": False} if path.startswith("s3://") else {}
    # Not url_to_fs, which takes "::" in a name for a chain of file systems.
    try:
        kind = fsspec.get_filesystem_class(scheme(path))
        if missing := _required(kind):
            raise ValueError(f"{scheme(path)}:// needs {', '.join(missing)}, which a path does not give")
        fs = kind(**options)
    except (ValueError, ImportError) as error:
        raise InputError(f"{path}: {error}; use a local path, s3://, hdfs:// or https://") from None
    return cast(AbstractFileSystem, fs), cast(str, fs._strip_protocol(path))


def _required(kind: type[AbstractFileSystem]) -> list[str]:
    """Return the parameters that a file system requires, such as the host of ``ftp://``."""
    _, *parameters = inspect.signature(kind.__init__).parameters.values()
    return [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD
    ]


def _hdfs(path: str) -> Hdfs:
    server = urlsplit(path)
    try:
        return Hdfs(server.hostname, server.port)
    except RuntimeError as error:  # hdfs-native has no exceptions of its own
        raise InputError(
            f"{path}: the client finds no NameNode ({error}); write hdfs://HOST:PORT/ or set HADOOP_CONF_DIR"
        ) from None


def is_web(path: str) -> bool:
    """True if ``path`` is a file on a web server."""
    return path.startswith(("https://", "http://"))


def is_local(path: str) -> bool:
    """True if ``path`` is on a local disk."""
    return scheme(path) in ("", "file")


def absolute(path: str) -> str:
    """Return a local path as an absolute one, and a remote path without a trailing slash."""
    if scheme(path):
        return path.rstrip("/")
    return os.path.abspath(path)  # noqa: PTH100 (symbolic links stay as they are)


def join(path: str, *parts: str) -> str:
    """Append components to ``path``."""
    return "/".join([path.rstrip("/"), *parts])


def name(path: str) -> str:
    """Return the last component of ``path``."""
    return posixpath.basename(path.rstrip("/"))


def spark_path(path: str) -> str:
    """Return ``path`` in the form of Spark's Hadoop file systems: ``s3a://``, ``hdfs://`` or ``file://``.

    Spark writes to such a path, but reads it as a glob; see :func:`spark_literal`.
    """
    if path.startswith("s3://"):
        return "s3a://" + path.removeprefix("s3://")
    return path if scheme(path) else "file://" + absolute(path)


def scheme(path: str) -> str:
    """Return the scheme of a URL; empty for a local path. Folders below ``/`` and ``.`` may have any name."""
    return path.partition("://")[0] if "://" in path and not path.startswith(("/", ".")) else ""


def spark_literal(path: str) -> str:
    """Return the glob of Hadoop that matches only ``path``, for reading with Spark, which expects globs."""
    return _HADOOP_MAGIC.sub(r"\\\g<0>", spark_path(path))

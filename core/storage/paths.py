"""Paths: the forms that Python, Spark and users write them in."""

import os
import posixpath
import re
import uuid

_HADOOP_MAGIC = re.compile(r"[][{}*?\\]")
"""Characters with a meaning in the globs of Hadoop, which a backslash takes from them."""
_TEMPORARY = re.compile(r"^((?:.*/)?)\.([^/]+)\.[0-9a-f]{32}$", re.DOTALL)


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


def temporary_name(path: str) -> str:
    """Return a new hidden path beside ``path``, for a file that is renamed to it when it is whole."""
    return posixpath.join(posixpath.dirname(path), f".{posixpath.basename(path)}.{uuid.uuid4().hex}")


def without_temporary(path: str) -> str:
    """Return what a path of :func:`temporary_name` stands for, and any other path as it is."""
    return _TEMPORARY.sub(r"\g<1>\g<2>", path)


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

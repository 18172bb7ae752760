"""The file system of a path: fsspec's, with our retries and without its swallowed errors."""

import inspect
from typing import Any, cast
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem

from core.errors import InputError
from core.storage.paths import absolute, is_local, is_web, scheme
from core.storage.servers import check_server


def filesystem(path: str) -> tuple[AbstractFileSystem, str]:
    """Return the fsspec file system of ``path``, and the path in that file system's own form."""
    if is_local(path):
        return LocalFileSystem(), absolute(path).removeprefix("file://")
    check_server(path)
    # Clients are slow to import, and most programs need one of them at most.
    if path.startswith("s3://"):
        from core.storage.s3 import S3

        fs: Any = S3(use_listings_cache=False)
    elif path.startswith("hdfs://"):
        fs = _hdfs(path)
    elif is_web(path):
        from core.storage.web import Web

        fs = Web()
    else:
        fs = _other(path)
    # Not url_to_fs, which takes "::" in a name for a chain of file systems.
    return cast(AbstractFileSystem, fs), cast(str, fs._strip_protocol(path))


def _hdfs(path: str) -> AbstractFileSystem:
    from core.storage.hdfs import Hdfs

    server = urlsplit(path)
    try:
        return Hdfs(server.hostname, server.port)
    except RuntimeError as error:  # hdfs-native has no exceptions of its own
        raise InputError(
            f"{path}: the client finds no NameNode ({error}); write hdfs://HOST:PORT/ or set HADOOP_CONF_DIR"
        ) from None


def _other(path: str) -> AbstractFileSystem:
    """Return a file system that fsspec has for another scheme, if it can be used by the path alone."""
    try:
        kind = fsspec.get_filesystem_class(scheme(path))
        if missing := _required(kind):
            raise ValueError(f"{scheme(path)}:// needs {', '.join(missing)}, which a path does not give")
        return cast(AbstractFileSystem, kind())
    except (ValueError, ImportError) as error:
        raise InputError(f"{path}: {error}; use a local path, s3://, hdfs:// or https://") from None


def _required(kind: type[AbstractFileSystem]) -> list[str]:
    """Return the parameters that a file system requires, such as the host of ``ftp://``."""
    _, *parameters = inspect.signature(kind.__init__).parameters.values()
    return [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD
    ]

"""Failures of storage as one line that names the path, the cause and the remedy."""

import re
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from core.errors import MACHINE_FAILURES, GristmillError, InputError, OutputError
from core.storage.paths import scheme

_HDFS_REFUSAL = re.compile(r"""RPCError\("(?:\w+\.)*(\w+)", "(.*?)(?:\\n|"\))""")
"""Java exception and its message, without the stack trace that follows, in an error of hdfs-native."""

P = ParamSpec("P")
T = TypeVar("T")

MIRRORS = {"s3://commoncrawl/": "https://data.commoncrawl.org/"}
"""Web servers with the content of public buckets. They need no credentials."""


def reporting(function: Callable[Concatenate[str, P], T]) -> Callable[Concatenate[str, P], T]:
    """Make ``function(path, …)`` raise :class:`InputError` if the storage fails."""
    return _reporting(function, InputError)


def reporting_writes(function: Callable[Concatenate[str, P], T]) -> Callable[Concatenate[str, P], T]:
    """Make ``function(path, …)`` raise :class:`OutputError` if the storage fails."""
    return _reporting(function, OutputError)


def _reporting(
    function: Callable[Concatenate[str, P], T], error_type: type[GristmillError]
) -> Callable[Concatenate[str, P], T]:
    @wraps(function)
    def run(path: str, /, *arguments: P.args, **options: P.kwargs) -> T:
        try:
            return function(path, *arguments, **options)
        except GristmillError:
            raise
        except Exception as error:
            if cause := _cause(path, error):
                raise error_type(f"{path}: {cause}") from None
            raise

    return run


def _cause(path: str, error: Exception) -> str | None:
    """Return cause and remedy of a storage failure, or None for any other exception."""
    # Slow imports, and the exceptions' own modules, so that they are loaded if one was raised.
    from aiohttp import ClientError
    from botocore.exceptions import (  # type: ignore[import-untyped]  # has no types
        BotoCoreError,
        NoCredentialsError,
        PartialCredentialsError,
    )

    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return "no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" + _mirror(path)
    if isinstance(error, PermissionError):
        return f"access is denied ({_line(error)}); check owner, permissions and credentials" + _mirror(path)
    if isinstance(error, OSError) and (scheme(path) in ("", "file") or isinstance(error, FileNotFoundError)):
        remedy = MACHINE_FAILURES.get(error.errno or 0, "check the path")
        return f"{error.strerror or _line(error)}; {remedy}"
    if path.startswith("hdfs://") and (refusal := _HDFS_REFUSAL.search(str(error))):
        return f"HDFS refuses it ({refusal[1]}: {refusal[2]}); check path, permissions and quotas"
    if isinstance(error, OSError | BotoCoreError | ClientError) or (
        # hdfs-native has no exception classes of its own.
        isinstance(error, RuntimeError) and path.startswith("hdfs://")
    ):
        return f"the server cannot be used ({_line(error)}); check its address and the network"
    return None


def _mirror(path: str) -> str:
    """Name the mirror of a public bucket, as the end of a remedy."""
    for bucket, mirror in MIRRORS.items():
        if path.startswith(bucket):
            return (
                f", or read {mirror}, which needs none (for commoncrawl: paths, set input.commoncrawl to it)"
            )
    return ""


def _line(error: Exception) -> str:
    """Return the first line of an exception's text."""
    return next(iter(str(error).splitlines()), type(error).__name__)

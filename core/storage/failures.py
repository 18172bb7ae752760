"""Failures of storage: which may pass by themselves, and each as one line with path, cause and remedy."""

import errno
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from core.errors import (
    MACHINE_FAILURES,
    GristmillError,
    InputError,
    MissingFileError,
    OutputError,
    UnavailableError,
)
from core.storage.paths import is_local

P = ParamSpec("P")
T = TypeVar("T")

MIRRORS = {"s3://commoncrawl/": "https://data.commoncrawl.org/"}
"""Web servers with the content of public buckets. They need no credentials."""

_NO_FILE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
_CHECK_SERVER = "check its address and the network"
_BUSY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP status of servers that are overloaded, restarting or too slow."""
_S3_TRANSIENT = frozenset(
    {
        "BadDigest",  # altered on the way
        "IncompleteBody",
        "InternalError",
        "OperationAborted",
        "RequestTimeTooSkewed",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "XAmzContentSHA256Mismatch",
    }
)
_S3_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"})
_S3_UNKNOWN_KEY = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch"})

# hdfs-native has no exceptions of its own: its errors are distinguished by the text of its Rust enumeration.
_HDFS_REFUSAL = re.compile(r"""RPCError\("(?:[\w$]+\.)*([\w$]+)", "(.*?)(?:\\n|"\))""")
"""Java exception and its message, without the stack trace that follows, in an error of hdfs-native."""
_HDFS_TRANSIENT = frozenset(
    {
        "ConnectException",
        "IOException",  # such as too few DataNodes, while they register after a restart
        "NotReplicatedYetException",
        "ObserverRetryOnActiveException",
        "RetriableException",
        "RetryStartFileException",
        "RpcServerException",
        "SafeModeException",
        "ServerTooBusyException",
        "SocketTimeoutException",
        "StandbyException",
    }
)
_HDFS_DENIED = frozenset({"AccessControlException", "AuthorizationException", "InvalidToken"})
_HDFS_PERMANENT = re.compile(
    r"(?:AlreadyExists|GSSAPIError|Invalid(?:Argument|Path)|NoSASLMechanism|SASLError|Unsupported\w+|UrlParseError)\b"
)
_OF_THIS_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENOMEM)
_WRONG_PATH = (errno.ELOOP, errno.ENAMETOOLONG)


class ShortReadError(ConnectionError):
    """A server that sent fewer bytes than were requested and exist."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of the storage."""

    kind: Literal["missing", "refused", "denied", "transient", "failed"]
    """``missing``: nothing is there. ``refused``: the path or request is wrong, as it will be next time.
    ``denied``: by permissions or credentials. ``transient``: it may succeed when repeated. ``failed``:
    others.
    """
    cause: str
    remedy: str


def reporting(function: Callable[Concatenate[str, P], T]) -> Callable[Concatenate[str, P], T]:
    """Make ``function(path, …)`` raise errors of ours if the storage fails.

    :class:`MissingFileError` if nothing is there, :class:`InputError` for a path that cannot be read, and
    :class:`UnavailableError` for all others, and for access that a server denies.
    """
    return _reporting(function, reading_error)


def reporting_writes(function: Callable[Concatenate[str, P], T]) -> Callable[Concatenate[str, P], T]:
    """Make ``function(path, …)`` raise :class:`OutputError` if the storage fails."""
    return _reporting(function, _writing_error)


def _reporting(
    function: Callable[Concatenate[str, P], T], convert: Callable[[str, Exception], GristmillError | None]
) -> Callable[Concatenate[str, P], T]:
    @wraps(function)
    def run(path: str, /, *arguments: P.args, **options: P.kwargs) -> T:
        try:
            return function(path, *arguments, **options)
        except GristmillError:
            raise
        except Exception as error:
            if converted := convert(path, error):
                raise converted from None
            raise

    return run


def reading_error(path: str, error: Exception) -> GristmillError | None:
    """Return the error of ours for a failed read; None for an exception that is no failure of storage."""
    failure = describe(path, error)
    if failure is None:
        return None
    if failure.kind == "missing":
        return MissingFileError(f"{path}: no such file; check the path")
    is_input = failure.kind == "refused" or (failure.kind == "denied" and is_local(path))
    kind = InputError if is_input else UnavailableError
    return kind(f"{path}: {failure.cause}; {failure.remedy}")


def _writing_error(path: str, error: Exception) -> GristmillError | None:
    failure = describe(path, error)
    return OutputError(f"{path}: {failure.cause}; {failure.remedy}") if failure else None


def describe(path: str, error: Exception) -> Failure | None:
    """Return what failed, or None for an exception that is no failure of storage."""
    if isinstance(error, ShortReadError):
        return Failure("transient", f"the server sent {error}", _CHECK_SERVER)
    if is_local(path):
        return _local(error) if isinstance(error, OSError) else None
    if isinstance(error, OSError) and error.errno in _OF_THIS_MACHINE:  # as of the cache, or a download
        return _local(error)
    if path.startswith("hdfs://"):
        return _hdfs(error)
    return _http(path, error)


def is_past_end(error: Exception) -> bool:
    """True if an error says that a range starts past the end of the file."""
    code, status = answer(error)
    return status == 416 or code == "InvalidRange"


def raise_unless_missing(error: OSError) -> None:
    """Handle an error of listing a folder: one that is gone since its parent was listed has no files."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _local(error: OSError) -> Failure:
    cause = error.strerror or line(error)
    if isinstance(error, _NO_FILE):
        return Failure("missing", cause, "check the path")
    if isinstance(error, PermissionError):
        return Failure("denied", f"access is denied ({cause})", "check owner, permissions and credentials")
    remedy = MACHINE_FAILURES.get(error.errno or 0, "check the path")
    return Failure("refused" if error.errno in _WRONG_PATH else "failed", cause, remedy)


def _hdfs(error: Exception) -> Failure | None:
    if isinstance(error, _NO_FILE):
        return Failure("missing", line(error), "check the path")
    if isinstance(error, PermissionError):
        return Failure("denied", f"access is denied ({line(error)})", "check owner and permissions")
    if not isinstance(error, RuntimeError | OSError | ValueError):
        return None
    if refusal := _HDFS_REFUSAL.search(str(error)):
        name, cause = refusal.groups()
        if name in _HDFS_DENIED:
            return Failure("denied", f"access is denied ({name}: {cause})", "check owner and permissions")
        if name in _HDFS_TRANSIENT:
            return Failure("transient", f"HDFS is not ready ({name}: {cause})", "check its NameNode's log")
        return Failure("refused", f"HDFS refuses it ({name}: {cause})", "check path, permissions and quotas")
    kind: Literal["failed", "transient"] = "failed" if _HDFS_PERMANENT.match(line(error)) else "transient"
    return Failure(kind, f"the server cannot be used ({line(error)})", _CHECK_SERVER)


def _http(path: str, error: Exception) -> Failure | None:
    """Describe an error of S3 or of a web server."""
    code, status = answer(error)
    if code in _S3_TRANSIENT or status in _BUSY_STATUS:
        remedy = "set the clock of this machine" if code == "RequestTimeTooSkewed" else "run again later"
        return Failure(
            "transient", f"the server is busy or failing ({code or status}: {line(error)})", remedy
        )
    if code in _S3_EXPIRED:
        remedy = "renew them, set AWS_SESSION_TOKEN or the profile anew, and run again"
        return Failure("denied", f"the AWS credentials have expired ({code})", remedy + _mirror(path))
    if code in _S3_UNKNOWN_KEY:
        remedy = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        return Failure("denied", f"the AWS credentials are refused ({code})", remedy + _mirror(path))
    if code == "NoSuchBucket":
        return Failure("refused", "no such bucket", "check its name and AWS_ENDPOINT_URL, or create it")
    if status == 412:
        remedy = "leave it unchanged during a run, and run again"
        return Failure("failed", "was replaced while it was read", remedy)
    if isinstance(error, _NO_FILE) or status in (404, 410):
        return Failure("missing", line(error), "check the path")
    if isinstance(error, PermissionError) or status in (401, 403):
        remedy = "check path, permissions and credentials"
        return Failure("denied", f"access is denied ({line(error)})", remedy + _mirror(path))
    if status is not None and status < 500:
        # For HEAD, S3 gives no reason; the most frequent one is a session that has expired.
        remedy = "check the path, and whether credentials have expired"
        return Failure("failed", f"the server refuses the request ({code or status}: {line(error)})", remedy)
    return _connection(path, error)


def _connection(path: str, error: Exception) -> Failure | None:
    """Describe an error of S3 or of a web server that is not its answer."""
    # Slow imports, and the exceptions' own modules, so that they are loaded if one was raised.
    import aiohttp
    from botocore import exceptions as boto  # type: ignore[import-untyped]  # has no types
    from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        return Failure("denied", "no AWS credentials", remedy + _mirror(path))
    cause = f"the server cannot be used ({line(error)})"
    if isinstance(error, boto.SSLError | aiohttp.ClientSSLError | aiohttp.InvalidURL):
        return Failure("failed", cause, _CHECK_SERVER)
    lost = (
        ConnectionError,
        TimeoutError,
        ResponseParserError,
        aiohttp.ClientConnectionError,
        aiohttp.ClientPayloadError,
        boto.ConnectionError,
        boto.CredentialRetrievalError,
        boto.HTTPClientError,
    )
    if isinstance(error, lost):
        return Failure("transient", cause, _CHECK_SERVER)
    if isinstance(error, OSError | boto.BotoCoreError | aiohttp.ClientError):
        return Failure("failed", cause, _CHECK_SERVER)
    return None


def answer(error: Exception) -> tuple[str, int | None]:
    """Return the error code of S3, empty if none, and the HTTP status that an error reports.

    s3fs replaces errors by others, with equal numbers for different codes; the original is the cause.
    """
    each: BaseException | None = error
    while each is not None:
        response: Any = getattr(each, "response", None)
        if isinstance(response, dict):
            code = str(response.get("Error", {}).get("Code", ""))
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return ("", int(code)) if code.isdecimal() else (code, status)
        status = getattr(each, "status", None)
        if isinstance(status, int):
            return "", status
        each = each.__cause__
    return "", None


def _mirror(path: str) -> str:
    """Name the mirror of a public bucket, as the end of a remedy."""
    for bucket, mirror in MIRRORS.items():
        if path.startswith(bucket):
            return (
                f", or read {mirror}, which needs none (for commoncrawl: paths, set input.commoncrawl to it)"
            )
    return ""


def line(error: BaseException) -> str:
    """Return the first line of an exception's text, or its name if it has none."""
    text = getattr(error, "strerror", None) or error
    return next(iter(str(text).splitlines()), type(error).__name__)

"""Files that only one process can create, on local disks, ``s3://`` and ``hdfs://``.

Each kind of storage has its own atomic operation; fsspec's ``mode="create"`` is elsewhere than on S3 a check
followed by a write. Requests are repeated, and one may be refused because its first attempt succeeded, so
after every refusal the file is read back. Contents must therefore be unique to their writers.
"""

import errno
import posixpath
from contextlib import suppress
from pathlib import Path

from fsspec.spec import AbstractFileSystem

from core.errors import MissingFileError
from core.storage import filesystem, is_local, read_bytes
from core.storage.failures import answer, describe, reporting_writes
from core.storage.paths import temporary_name
from core.storage.retries import retrying

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
"""Errors of file systems without hard links."""
_OTHER_CONTENT = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "404", "412"}


def read(path: str) -> bytes | None:
    """Return the content of a small file, None if there is none."""
    with suppress(MissingFileError):
        return read_bytes(path)
    return None


@reporting_writes
@retrying
def create(path: str, data: bytes) -> bool:
    """Create a file with the content ``data``; False if there is one with any other content.

    Of several processes, one succeeds. On S3 servers without conditional writes, see :func:`is_atomic`, two
    may that create the file at the same moment; the later one replaces the file.
    """
    fs, inner = filesystem(path)
    if path.startswith("s3://"):
        created = _put_new(fs, inner, data)
    elif is_local(path):
        created = _link_new(inner, data)
    else:
        created = _rename_new(fs, inner, data)
    return created or read(path) == data


@reporting_writes
@retrying
def is_atomic(path: str, data: bytes) -> bool:
    """True if the storage refuses to create again the file at ``path``, which has the content ``data``."""
    if not path.startswith("s3://"):
        return True
    fs, inner = filesystem(path)
    try:
        fs.pipe_file(inner, data, mode="create")
    except OSError as error:
        if isinstance(error, FileExistsError) or _code(error) in _OTHER_CONTENT:
            return True
        if _refuses_conditions(error):
            return False
        raise
    return False


@reporting_writes
@retrying
def replace(path: str, token: bytes, data: bytes) -> bool:
    """Replace the content of a file in which ``token`` occurs; False if there is no such file.

    ``data`` has the length of the former content. On HDFS, a file that another process removes at the same
    moment is created again.
    """
    fs, inner = filesystem(path)
    if is_local(path):
        # In place, which never creates a file again that another process has removed.
        with suppress(FileNotFoundError), Path(inner).open("r+b") as file:
            if token not in file.read():
                return False
            file.seek(0)
            file.write(data)
            return True
        return False
    if token not in (read(path) or b""):
        return False
    if path.startswith("s3://"):
        return _call_if_unchanged(fs, inner, token, "put_object", Body=data) or read(path) == data
    temporary = temporary_name(inner)
    try:
        fs.pipe_file(temporary, data)
        fs.mv(temporary, inner, overwrite=True)
    except Exception:
        with suppress(Exception):
            fs.rm_file(temporary)
        raise
    return True


@reporting_writes
@retrying
def remove(path: str, token: bytes) -> None:
    """Remove a file if ``token`` occurs in it."""
    if token not in (read(path) or b""):
        return
    fs, inner = filesystem(path)
    if path.startswith("s3://"):
        _call_if_unchanged(fs, inner, token, "delete_object")
    else:
        with suppress(FileNotFoundError):
            fs.rm_file(inner)


@reporting_writes
@retrying
def remove_if_empty(folder: str) -> None:
    """Remove a folder that has no entries. Object stores have none."""
    fs, inner = filesystem(folder)
    if not folder.startswith("s3://") and fs.exists(inner) and not fs.ls(inner):
        fs.rmdir(inner)  # which fails if an entry was added meanwhile


def _link_new(inner: str, data: bytes) -> bool:
    """Create a local file by a hard link, which is atomic on NFS too; by ``O_EXCL`` where there are none."""
    temporary, target = Path(temporary_name(inner)), Path(inner)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.write_bytes(data)
        try:
            target.hardlink_to(temporary)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with target.open("xb") as file:
                file.write(data)
    except (FileExistsError, FileNotFoundError):  # the latter: another process removed the temporary file
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _rename_new(fs: AbstractFileSystem, inner: str, data: bytes) -> bool:
    """Create a file by renaming one without overwriting, which HDFS decides in the NameNode."""
    temporary = temporary_name(inner)
    fs.makedirs(posixpath.dirname(inner), exist_ok=True)
    try:
        fs.pipe_file(temporary, data)
        fs.mv(temporary, inner, overwrite=False)
    except (FileExistsError, FileNotFoundError):  # the latter: another process removed the temporary file
        with suppress(FileNotFoundError):
            fs.rm_file(temporary)
        return False
    return True


def _put_new(fs: AbstractFileSystem, inner: str, data: bytes) -> bool:
    """Create an object by a conditional put; on servers that refuse those, if there is none."""
    try:
        fs.pipe_file(inner, data, mode="create")
    except FileExistsError:
        return False
    except OSError as error:
        if _code(error) in _OTHER_CONTENT:
            return False
        if not _refuses_conditions(error):
            raise
        if fs.exists(inner):
            return False
        fs.pipe_file(inner, data)
    return True


def _call_if_unchanged(
    fs: AbstractFileSystem, inner: str, token: bytes, call: str, **options: object
) -> bool:
    """Put or delete an object if ``token`` occurs in it; False if not, or if another process changes it."""
    bucket, key, _ = fs.split_path(inner)
    named = {"Bucket": bucket, "Key": key}
    try:
        etag = fs.info(inner)["ETag"]
        if token not in fs.cat_file(inner):
            return False
        try:
            fs.call_s3(call, **named, **options, IfMatch=etag)
        except OSError as error:
            if not _refuses_conditions(error):
                raise
            if token not in fs.cat_file(inner):
                return False
            fs.call_s3(call, **named, **options)
    except FileNotFoundError:
        return False
    except OSError as error:
        if _code(error) not in _OTHER_CONTENT:
            raise
        return False
    return True


def _refuses_conditions(error: OSError) -> bool:
    """True if S3 may have refused a request for its condition, for which they use various codes."""
    code, status = answer(error)
    if code == "NotImplemented" or status == 501:
        return True
    failure = describe("s3://", error)
    return status == 400 and failure is not None and failure.kind == "failed"


def _code(error: OSError) -> str:
    code, status = answer(error)
    return code or str(status or "")

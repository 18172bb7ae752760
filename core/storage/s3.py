"""S3 as an fsspec file system: s3fs, with our retries, and without errors that it swallows.

s3fs 2026.9 repeats a request up to five times, each time through botocore, which repeats it up to five times
too; neither says so, and both give up within seconds when a prefix is throttled. Here both try once
(``retries``, ``total_max_attempts``), and :meth:`S3._call_s3`, through which s3fs sends every request,
repeats it: a page of a listing or a part of an upload, not the whole. The body of a response is read after
that: it is repeated by :class:`_File` and by the functions of :mod:`core.storage`.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any

from botocore.exceptions import ClientError  # type: ignore[import-untyped]  # has no types
from fsspec.asyn import sync, sync_wrapper
from s3fs import S3File, S3FileSystem
from s3fs.errors import translate_boto_error

from core.storage.failures import describe, raise_unless_missing
from core.storage.retries import fetch, repeat_async


class S3(S3FileSystem):  # type: ignore[misc]  # has no types
    """s3fs's file system. Requests are repeated; listings and removals raise what goes wrong."""

    retries = 1

    def __init__(self, *arguments: Any, **options: Any) -> None:
        once = {"retries": {"mode": "standard", "total_max_attempts": 1}}
        config = options.pop("config_kwargs", {}) | once
        super().__init__(*arguments, config_kwargs=config, **options)

    async def _call_s3(self, method: str, *arguments: Any, **options: Any) -> Any:
        request = partial(super()._call_s3, method, *arguments, **options)
        attempts = 0

        async def call() -> Any:
            nonlocal attempts
            attempts += 1
            try:
                return await request()
            except FileNotFoundError:
                if method == "complete_multipart_upload" and attempts > 1:
                    raise _LostUploadError from None
                raise

        try:
            return await repeat_async(_target(options), call)
        except _LostUploadError:
            # Perhaps an attempt succeeded and its answer was lost: the caller uploads it all again.
            raise ConnectionResetError("the end of an upload was not confirmed") from None

    call_s3 = sync_wrapper(_call_s3)

    async def _abort_mpu(self, bucket: str, key: str, mpu: str) -> None:
        """Abort a multipart upload, unless it is over."""
        with suppress(FileNotFoundError):
            await super()._abort_mpu(bucket, key, mpu)

    abort_mpu = sync_wrapper(_abort_mpu)

    async def _exists(self, path: str) -> bool:
        """True if there is an object, a folder or a bucket. s3fs takes any failure for a missing bucket."""
        try:
            await self._info(path)
        except FileNotFoundError as error:
            failure = describe(f"s3://{path}", error)
            if failure and failure.kind != "missing":  # no such bucket
                raise
            return False
        return True

    exists = sync_wrapper(_exists)

    async def _walk(self, path: str, maxdepth: int | None = None, **options: Any) -> AsyncIterator[Any]:
        """Walk the folders for a glob. fsspec omits those that it fails to list."""
        options["on_error"] = raise_unless_missing
        async for each in super()._walk(path, maxdepth=maxdepth, **options):
            yield each

    async def _bulk_delete(self, paths: list[str], **options: Any) -> list[str]:
        """Delete up to 1000 objects. s3fs ignores the errors that the answer lists for single objects."""
        if not paths:
            return []
        bucket = self.split_path(paths[0])[0]
        keys = [{"Key": self.split_path(path)[1]} for path in paths]
        request = {"Bucket": bucket, "Delete": {"Objects": keys, "Quiet": True}}

        async def delete() -> None:
            answer = await self._call_s3("delete_objects", options, **request)
            if errors := answer.get("Errors"):
                error = ClientError({"Error": errors[0]}, "DeleteObjects")
                raise translate_boto_error(error)

        await repeat_async(f"s3://{paths[0]}", delete)
        return paths

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **options: Any) -> S3File:
        if mode != "rb":
            return super()._open(path, mode, block_size, **options)
        return _File(self, path, mode, block_size or self.default_block_size, **options)

    def abort_uploads(self, folder: str) -> int:
        """Abort the multipart uploads below a folder; return their number."""
        return int(sync(self.loop, self._abort_uploads, folder))

    async def _abort_uploads(self, folder: str) -> int:
        bucket, key, _ = self.split_path(folder)
        if not key:  # the bucket is shared with others
            return 0
        request: dict[str, Any] = {"Bucket": bucket, "Prefix": f"{key.rstrip('/')}/"}
        count = 0
        while True:
            page = await self._call_s3("list_multipart_uploads", **request)
            for upload in page.get("Uploads", ()):
                await self._abort_mpu(bucket, upload["Key"], upload["UploadId"])
                count += 1
            if not page.get("IsTruncated"):
                return count
            request |= {"KeyMarker": page["NextKeyMarker"]}
            if marker := page.get("NextUploadIdMarker"):
                request |= {"UploadIdMarker": marker}


class _LostUploadError(Exception):
    """A multipart upload that is unknown when its end is requested once more."""


class _File(S3File):  # type: ignore[misc]  # has no types
    """An object that is read by ranges. A range that fails or comes back short is requested again."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        read = partial(super()._fetch_range, start, end)
        return fetch(f"s3://{self.path}", read, end - start)


def _target(options: dict[str, Any]) -> str:
    """Name the target of a request in messages."""
    key = options.get("Key") or options.get("Prefix") or ""
    return f"s3://{options.get('Bucket', '')}/{key}".rstrip("/")

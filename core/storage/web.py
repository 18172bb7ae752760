"""Web servers as an fsspec file system: fsspec's, with our retries, and without errors that it swallows."""

from functools import partial
from typing import Any

import aiohttp
from fsspec.asyn import sync_wrapper
from fsspec.implementations.http import HTTPFileSystem
from fsspec.spec import AbstractBufferedFile

from core.storage.failures import describe
from core.storage.retries import fetch

_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
"""Limits of silence. A limit of the whole, which fsspec sets to 5 min, would end long downloads."""


class Web(HTTPFileSystem):  # type: ignore[misc]  # has no types
    """fsspec's file system. It takes no failure for a missing file."""

    def __init__(self, **options: Any) -> None:
        client = {"timeout": _TIMEOUT, **options.pop("client_kwargs", {})}
        super().__init__(client_kwargs=client, **options)

    async def _info(self, url: str, **options: Any) -> dict[str, Any]:
        """Return size and version. fsspec replaces each error by :class:`FileNotFoundError`."""
        try:
            found: dict[str, Any] = await super()._info(url, **options)
        except FileNotFoundError as error:
            cause = error.__cause__
            failure = describe(url, cause) if isinstance(cause, Exception) else None
            if cause is None or (failure and failure.kind == "missing"):
                raise
            raise cause from None
        return found

    async def _exists(self, path: str, **options: Any) -> bool:
        try:
            await self._info(path, **options)
        except FileNotFoundError:
            return False
        return True

    exists = sync_wrapper(_exists)

    def _open(
        self, path: str, mode: str = "rb", block_size: int | None = None, size: int | None = None, **_: Any
    ) -> AbstractBufferedFile:
        if mode != "rb":
            raise NotImplementedError("web servers are only read")
        return _File(self, path, mode, block_size or self.block_size, cache_type="bytes", size=size)


class _File(AbstractBufferedFile):  # type: ignore[misc]  # has no types
    """A file that is read by ranges. A range that fails or comes back short is requested again."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        read = partial(self.fs.cat_file, self.path, start=start, end=end)
        return fetch(self.path, read, end - start)

"""Decompression of gzip, bzip2 and zstd streams in bounded memory.

Errors of the storage are not caught, so that a task can be retried. Errors in the data itself raise
:class:`BrokenStreamError`.
"""

import bz2
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol, cast

from isal import isal_zlib

if sys.version_info >= (3, 14):
    from compression import zstd as zstd
else:
    from backports import zstd as zstd

GZIP = b"\x1f\x8b"
BZIP2 = b"BZh"
ZSTD = b"\x28\xb5\x2f\xfd"

CHUNK = 1 << 18
"""Bytes read from storage at a time."""
BLOCK = 1 << 20
"""Maximum output of one decompression step, in bytes. Bounds the memory that any input can take."""


DECOMPRESSION_ERRORS: tuple[type[Exception], ...] = (
    OSError,
    cast(type[Exception], isal_zlib.error),  # Its stub declares it as an instance.
    zstd.ZstdError,
)
"""Exceptions that a :class:`Decompressor` raises."""


class BrokenStreamError(Exception):
    """Compressed data that cannot be decompressed any further."""


class Decompressor(Protocol):
    """Interface of :class:`bz2.BZ2Decompressor`, which :class:`Inflater` shares."""

    @property
    def eof(self) -> bool:
        """True if the end of the compressed stream was reached."""

    @property
    def needs_input(self) -> bool:
        """True if more input is required before there is more output."""

    @property
    def unused_data(self) -> bytes:
        """Bytes after the end of the compressed stream."""

    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes:
        """Feed ``data`` and return at most ``max_length`` bytes. Raises one of ``DECOMPRESSION_ERRORS``."""


class Inflater:
    """Decompressor of one gzip or zlib stream, with the interface of :class:`bz2.BZ2Decompressor`.

    ``wbits`` is that of :func:`zlib.decompressobj`; the default expects a gzip member and verifies its
    checksum.
    """

    def __init__(self, wbits: int = 31) -> None:
        self._zlib = isal_zlib.decompressobj(wbits)

    @property
    def eof(self) -> bool:
        """True if the end of the compressed stream was reached."""
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        """True if more input is required before there is more output."""
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        """Bytes after the end of the compressed stream."""
        return self._zlib.unused_data

    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes:
        """Feed ``data`` and return at most ``max_length`` bytes. Raises ``isal_zlib.error``."""
        rest = self._zlib.unconsumed_tail
        return self._zlib.decompress(rest + data if rest else data, max_length)


def detect_decompressor(head: bytes) -> Callable[[], Decompressor] | None:
    """Return the decompressor for data with these first bytes; None if the data is not compressed."""
    if head.startswith(GZIP):
        return Inflater
    if head.startswith(BZIP2):
        return bz2.BZ2Decompressor
    return zstd.ZstdDecompressor if head.startswith(ZSTD) else None


def blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the content of a stream in blocks of at most ``BLOCK`` bytes, decompressed if necessary.

    Consecutive gzip members, bzip2 streams or zstd frames form one content; zero bytes after the last are
    padding. Raises :class:`BrokenStreamError` at the first damaged or missing byte, after yielding all
    content before it.
    """
    data = stream.read(CHUNK)
    make_decompressor = detect_decompressor(data)
    if make_decompressor is None:
        while data:
            yield data
            data = stream.read(CHUNK)
        return
    while data.strip(b"\0"):
        decompressor = make_decompressor()
        yield from _decompress(decompressor, data, stream)
        data = decompressor.unused_data or stream.read(CHUNK)


def _decompress(decompressor: Decompressor, data: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """Yield the content of one gzip member, bzip2 stream or zstd frame, whose first bytes are ``data``."""
    while not decompressor.eof:
        try:
            block = decompressor.decompress(data, BLOCK)
        except DECOMPRESSION_ERRORS as error:
            raise BrokenStreamError(f"compressed data is damaged: {error}") from None
        if block:
            yield block
        data = b""
        if decompressor.needs_input and not decompressor.eof:
            data = stream.read(CHUNK)
            if not data:
                raise BrokenStreamError("compressed data is cut short")

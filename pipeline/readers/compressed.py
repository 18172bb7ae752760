"""Streams that may be compressed (gzip, bzip2, zstd), read in bounded memory.

What the storage raises passes through, so that a task may be tried again; what is wrong with the bytes
themselves is a :class:`BrokenStreamError`.
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
"""Most bytes that one step of decompression may give: no small file can fill the memory."""


DAMAGE: tuple[type[Exception], ...] = (
    OSError,
    cast(type[Exception], isal_zlib.error),  # its stub says that it is an instance
    zstd.ZstdError,
)
"""What a :class:`Decompressor` raises."""


class BrokenStreamError(Exception):
    """Compressed bytes that cannot be decompressed from here on."""


class Decompressor(Protocol):
    """What :class:`bz2.BZ2Decompressor` and :class:`Inflater` have in common."""

    @property
    def eof(self) -> bool:
        """Whether the end of the compressed stream was met."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes out before something is put in."""

    @property
    def unused_data(self) -> bytes:
        """Bytes after the end of the compressed stream."""

    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes:
        """Put ``data`` in, get at most ``max_length`` bytes out. Raises one of ``DAMAGE``."""


class Inflater:
    """One stream of gzip or zlib in steps of bounded size, in the manner of :class:`bz2.BZ2Decompressor`.

    ``wbits`` as for :func:`zlib.decompressobj`; by default, a gzip member with its checksum.
    """

    def __init__(self, wbits: int = 31) -> None:
        self._zlib = isal_zlib.decompressobj(wbits)

    @property
    def eof(self) -> bool:
        """Whether the end of the compressed stream was met."""
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes out before something is put in."""
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        """Bytes after the end of the compressed stream."""
        return self._zlib.unused_data

    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes:
        """Put ``data`` in, get at most ``max_length`` bytes out. Raises ``isal_zlib.error``."""
        rest = self._zlib.unconsumed_tail
        return self._zlib.decompress(rest + data if rest else data, max_length)


def decompressor_of(begin: bytes) -> Callable[[], Decompressor] | None:
    """What decompresses data with these first bytes; None if they are not those of compressed data."""
    if begin.startswith(GZIP):
        return Inflater
    if begin.startswith(BZIP2):
        return bz2.BZ2Decompressor
    return zstd.ZstdDecompressor if begin.startswith(ZSTD) else None


def blocks(stream: BinaryIO) -> Iterator[bytes]:
    """The stream's content in pieces of at most ``BLOCK`` bytes, decompressed if it is gzip, bzip2 or zstd.

    Several gzip members, bzip2 streams or zstd frames in a row are one content; zero bytes after the last are
    padding.
    Raises :class:`BrokenStreamError` where the content breaks off or is damaged, after all that came before.
    """
    data = stream.read(CHUNK)
    make = decompressor_of(data)
    if make is None:
        while data:
            yield data
            data = stream.read(CHUNK)
        return
    while data.strip(b"\0"):
        decompressor = make()
        yield from _decompress(decompressor, data, stream)
        data = decompressor.unused_data or stream.read(CHUNK)


def _decompress(decompressor: Decompressor, data: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """The content of one gzip member, bzip2 stream or zstd frame, whose first bytes are ``data``."""
    while not decompressor.eof:
        try:
            block = decompressor.decompress(data, BLOCK)
        except DAMAGE as error:
            raise BrokenStreamError(f"compressed data is damaged: {error}") from None
        if block:
            yield block
        data = b""
        if decompressor.needs_input and not decompressor.eof:
            data = stream.read(CHUNK)
            if not data:
                raise BrokenStreamError("compressed data is cut short")

"""Streams that may be compressed (gzip, bzip2), read in bounded memory.

What the storage raises passes through, so that a task may be tried again; what is wrong with the bytes
themselves is a :class:`BrokenStreamError`.
"""

import bz2
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Protocol

GZIP = b"\x1f\x8b"
BZIP2 = b"BZh"

CHUNK = 1 << 18
"""Bytes read from storage at a time."""
BLOCK = 1 << 20
"""Most bytes that one step of decompression may give: no small file can fill the memory."""


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

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Put ``data`` in, get at most ``max_length`` bytes out. Raises OSError or zlib.error."""


class Inflater:
    """One zlib stream in steps of bounded size, in the manner of :class:`bz2.BZ2Decompressor`.

    ``wbits`` as for :func:`zlib.decompressobj`; by default, a gzip member with its checksum.
    """

    def __init__(self, wbits: int = 31) -> None:
        self._zlib = zlib.decompressobj(wbits)

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

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Put ``data`` in, get at most ``max_length`` bytes out. Raises zlib.error."""
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def blocks(stream: BinaryIO) -> Iterator[bytes]:
    """The stream's content in pieces of at most ``BLOCK`` bytes, decompressed if it is gzip or bzip2.

    Several gzip members or bzip2 streams in a row are one content; zero bytes after the last are padding.
    Raises :class:`BrokenStreamError` where the content breaks off or is damaged, after all that came before.
    """
    data = stream.read(CHUNK)
    if not data.startswith((GZIP, BZIP2)):
        while data:
            yield data
            data = stream.read(CHUNK)
        return
    make = Inflater if data.startswith(GZIP) else bz2.BZ2Decompressor
    while data.strip(b"\0"):
        decompressor = make()
        yield from _decompress(decompressor, data, stream)
        data = decompressor.unused_data or stream.read(CHUNK)


def _decompress(decompressor: Decompressor, data: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """The content of one gzip member or bzip2 stream, whose first bytes are ``data``."""
    while not decompressor.eof:
        try:
            block = decompressor.decompress(data, BLOCK)
        except (OSError, zlib.error) as error:
            raise BrokenStreamError(f"compressed data is damaged: {error}") from None
        if block:
            yield block
        data = b""
        if decompressor.needs_input and not decompressor.eof:
            data = stream.read(CHUNK)
            if not data:
                raise BrokenStreamError("compressed data is cut short")

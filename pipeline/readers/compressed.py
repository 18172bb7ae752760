"""Decompression of gzip, bzip2, zstd, xz and Brotli streams in bounded memory.

Errors of the storage are not caught, so that a task can be retried. Errors in the data itself raise
:class:`BrokenStreamError`.
"""

import bz2
import io
import lzma
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import chain
from typing import Any, BinaryIO, Protocol, cast

from fastwarc.stream_io import BrotliReader
from isal import isal_zlib

from pipeline.charset import is_binary
from pipeline.readers.lookahead import LookaheadStream
from pipeline.readers.record import raise_storage_error

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
HEAD_BYTES = 1 << 12
"""Bytes that show whether and how content is compressed."""
BROTLI_BLOCK = 1 << 16
"""Output of one step: damage discards the whole step."""
_BROTLI_PROBE = 1 << 9
"""Bytes of content that show whether data is Brotli."""
_TEXT_START = re.compile(rb"[\t\n\r -~]{32}")
"""Printable ASCII, with which Brotli data practically never begins. Most content is recognized by it."""
_MAX_LAYERS = 4
"""Compressions of one file that are undone: some archives contain themselves."""

DECOMPRESSION_ERRORS: tuple[type[Exception], ...] = (
    OSError,
    cast(type[Exception], isal_zlib.error),  # Its stub declares it as an instance.
    zstd.ZstdError,
    lzma.LZMAError,
)
"""Exceptions that a :class:`Decompressor` raises."""


class BrokenStreamError(Exception):
    """Compressed data that cannot be decompressed any further."""

    def __init__(self, message: str, member: int | None = None) -> None:
        super().__init__(message)
        self.member = member
        """Offset of the damaged gzip member, bzip2 or xz stream, or zstd frame, where it is known."""


class TruncatedStreamError(BrokenStreamError):
    """Compressed data without its end."""


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

    __slots__ = ("_zlib",)

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


def zstd_decompressor(dictionary: Any = None) -> Decompressor:
    """Return a decompressor of one zstd frame, also of one with the largest window (``zstd --long=31``)."""
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 31}
    return cast(Decompressor, zstd.ZstdDecompressor(dictionary, options))


@dataclass(frozen=True, slots=True)
class Codec:
    """A compression whose files are chains of members, each with a magic number and a checksum of its own."""

    member_name: str
    """Term for one member in error messages."""
    file_start: re.Pattern[bytes]
    """Start of a file, even if the rest of the first magic number is damaged."""
    magic: re.Pattern[bytes]
    """Start of a member with content."""
    make_decompressor: Callable[[], Decompressor]
    probe_size: int
    """Compressed bytes that are needed before any content comes out."""


GZIP_CODEC = Codec(
    "gzip member", re.compile(GZIP), re.compile(rb"\x1f\x8b\x08[\x00-\x1f]"), Inflater, probe_size=1 << 12
)
ZSTD_CODEC = Codec(
    "zstd frame",
    # A file may start with a frame without content, such as those of pzstd.
    re.compile(re.escape(ZSTD) + rb"|[\x50-\x5f]\x2a\x4d\x18"),
    re.compile(re.escape(ZSTD)),
    zstd_decompressor,
    probe_size=1 << 18,
)
_BZIP2_CODEC = Codec(
    "bzip2 stream", re.compile(BZIP2), re.compile(rb"BZh[1-9]1AY&SY"), bz2.BZ2Decompressor, probe_size=1 << 20
)
_XZ_MAGIC = re.compile(rb"\xfd7zXZ\0")
_XZ_CODEC = Codec("xz stream", _XZ_MAGIC, _XZ_MAGIC, lzma.LZMADecompressor, probe_size=1 << 18)
# Properties, dictionary size, and the size of the content, which may be unknown.
_LZMA_HEADER = re.compile(rb"\x5d\0\0[\0\x80-\xff][\0-\x20](?:\xff{8}|.{4}\0{4})", re.DOTALL)
_LZMA_CODEC = Codec("lzma stream", _LZMA_HEADER, _LZMA_HEADER, lzma.LZMADecompressor, probe_size=1 << 18)
_CODECS = (GZIP_CODEC, ZSTD_CODEC, _BZIP2_CODEC, _XZ_CODEC, _LZMA_CODEC)
_ANY_START = re.compile(b"|".join(codec.file_start.pattern for codec in _CODECS), re.DOTALL)


def detect_codec(head: bytes) -> Codec | None:
    """Return the compression of data with these first bytes, or None if they have no magic number."""
    if not _ANY_START.match(head):
        return None
    return next(codec for codec in _CODECS if codec.file_start.match(head))


def is_compressed(head: bytes) -> bool:
    """True if :func:`blocks` decompresses data with these first bytes."""
    return detect_codec(head) is not None or _is_brotli(head)


def blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the content of a stream in blocks of at most ``BLOCK`` bytes, decompressed if necessary.

    Consecutive gzip members, bzip2 or xz streams or zstd frames form one content; zero bytes between and
    after them are padding. Content that is compressed again is decompressed again. Raises
    :class:`BrokenStreamError` at the first damaged or missing byte, after yielding all content before it.
    """
    head, content = _peek(iter(partial(stream.read, CHUNK), b""))
    for layer in range(_MAX_LAYERS):
        if not is_compressed(head):
            break
        codec = detect_codec(head)
        layer_content = _members(content, codec) if codec else brotli_blocks(content)
        head, content = _peek(layer_content if layer == 0 else _nested(layer_content))
    yield from content


def sections(stream: BinaryIO) -> Iterator[Iterator[bytes]]:
    """Yield the content of a file as runs without damage, each like the result of :func:`blocks`.

    If a run ends with :class:`BrokenStreamError`, the next one begins at the next undamaged gzip member,
    bzip2 or xz stream, or zstd frame. Read each run to its end before requesting the next.
    """
    start: int | None = 0
    while start is not None:
        stream.seek(start)
        errors: list[BrokenStreamError] = []
        yield _noting_errors(blocks(stream), errors)
        start = _next_member(stream, start, errors[0].member) if errors else None


class Content:
    """Reads decompressed blocks as a stream that ends at the first damage, described by ``error``."""

    def __init__(self, content: Iterator[bytes]) -> None:
        self._content = content
        self.error = ""

    def read(self, _: int) -> bytes:
        """Return the next block, empty at the end."""
        try:
            return next(self._content, b"")
        except BrokenStreamError as error:
            self.error = str(error)
            return b""


def brotli_blocks(compressed: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the content of a Brotli stream, which has no magic number and no checksum.

    Raises :class:`TruncatedStreamError` for damage, too, after yielding the content before it.
    """
    reader = BrotliReader(_RawStream(compressed))
    try:
        yield from iter(partial(reader.read, BROTLI_BLOCK), b"")
    except OSError as error:
        raise_storage_error(error)
        raise TruncatedStreamError(f"Brotli data is damaged or cut short: {error}") from None


def find_member(
    lookahead: LookaheadStream, codec: Codec, is_content: Callable[[bytes], object], offset: int, limit: int
) -> int | None:
    """Return the distance to the next member whose first bytes of content pass ``is_content``."""

    def is_sound(distance: int) -> bool:
        data = lookahead.view(codec.probe_size, distance)
        try:
            return bool(is_content(codec.make_decompressor().decompress(data, HEAD_BYTES)))
        except DECOMPRESSION_ERRORS:
            return False  # The magic number occurred by chance in compressed data.

    return lookahead.search_valid(codec.magic, is_sound, offset, limit)


def _peek(content: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes of a content, as far as they are undamaged, and the whole content."""
    first: list[bytes] = []
    size = 0
    while size < HEAD_BYTES:
        try:
            block = next(content, b"")
        except BrokenStreamError as error:
            return b"".join(first), chain(first, _raise(error))
        if not block:
            break
        first.append(block)
        size += len(block)
    return b"".join(first), chain(first, content)


def _raise(error: BrokenStreamError) -> Iterator[bytes]:
    """Raise the error when the first block is requested."""
    raise error
    yield b""


def _nested(content: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the content of an inner compression, whose offsets are not those of the file."""
    try:
        yield from content
    except BrokenStreamError as error:
        error.member = None
        raise


def _members(compressed: Iterator[bytes], codec: Codec) -> Iterator[bytes]:
    """Yield the content of a chain of members."""
    offset, data = 0, next(compressed, b"")
    while data:
        if data[0] == 0:  # padding
            size = len(data)
            data = data.lstrip(b"\0")
            offset += size - len(data)
            data = data or next(compressed, b"")
            continue
        decompressor, size = codec.make_decompressor(), len(data)
        while not decompressor.eof:
            try:
                block = decompressor.decompress(data, BLOCK)
            except DECOMPRESSION_ERRORS as error:
                raise BrokenStreamError(f"compressed data is damaged: {error}", offset) from None
            if block:
                yield block
            data = b""
            if decompressor.needs_input and not decompressor.eof:
                data = next(compressed, b"")
                size += len(data)
                if not data:
                    raise TruncatedStreamError("compressed data is cut short", offset)
        data = decompressor.unused_data
        offset += size - len(data)
        data = data or next(compressed, b"")


def _is_brotli(head: bytes) -> bool:
    """True if the first bytes of a content are binary, but text or compressed again when decompressed."""
    if _TEXT_START.match(head) or not is_binary(head):
        return False
    try:
        text = BrotliReader(BytesIO(head[:HEAD_BYTES])).read(_BROTLI_PROBE)
    except OSError:
        return False
    return bool(text) and (not is_binary(text) or detect_codec(text) is not None)


class _RawStream(io.RawIOBase):
    """Reads an iterator of blocks as a stream."""

    def __init__(self, content: Iterator[bytes]) -> None:
        self._content = content
        self._block = memoryview(b"")
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the number of bytes read."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the current block has bytes."""
        if not self._block:
            self._block = memoryview(next(self._content, b""))
        size = min(len(buffer), len(self._block))
        buffer[:size] = self._block[:size]
        self._block = self._block[size:]
        self._position += size
        return size


def _noting_errors(content: Iterator[bytes], errors: list[BrokenStreamError]) -> Iterator[bytes]:
    """Yield the content; append the error that ends it."""
    try:
        yield from content
    except BrokenStreamError as error:
        errors.append(error)
        raise


def _next_member(stream: BinaryIO, start: int, damaged: int | None) -> int | None:
    """Return the offset of the first sound member after the damaged one at ``start + damaged``."""
    stream.seek(start)
    codec = detect_codec(stream.read(HEAD_BYTES))
    if codec is None or damaged is None:
        return None
    stream.seek(start + damaged)
    lookahead = LookaheadStream(stream.read, start + damaged)
    found = lookahead.advance(partial(find_member, lookahead, codec, bool), 1)
    return lookahead.position if found else None

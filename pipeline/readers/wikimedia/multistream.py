"""Chains of bzip2 streams, readable from any byte of the file.

A multistream dump is a concatenation of bzip2 streams. The start of a stream is recognised from the data
alone: the magic numbers of the stream and of its first block, and a first block with a correct checksum. All
readers of a range therefore find the same streams, and damage costs only the rest of the stream that it is
in. Bytes that belong to no valid stream count to the stream before them.

Content is returned only after the checksums of its blocks were verified.
"""

import bz2
import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

from pipeline.readers.compressed import BLOCK, BZIP2, GZIP
from pipeline.readers.lookahead import SEARCH_BYTES, UNBOUNDED, LookaheadStream
from pipeline.readers.record import MAX_BYTES

_STREAM_START = re.compile(rb"BZh[1-9]1AY&SY")
_EMPTY = re.compile(rb"BZh[1-9]\x17rE8P\x90\0{4}|\0{1,64}")
"""A stream without content, or padding."""
_OTHER_STARTS = (GZIP, b"<m", b"<?", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb")
"""First two bytes of dumps that are not bzip2."""
_INPUT_CHUNK = 1 << 14
"""Compressed bytes per decompression step. Damage discards the output of a whole step."""


class DamageError(Exception):
    """``length`` bytes from ``offset`` on that are not a valid stream."""

    def __init__(self, message: str, offset: int, length: int) -> None:
        super().__init__(message)
        self.offset = offset
        self.length = length


class _BrokenStreamError(Exception):
    """A stream that is damaged or cut short. Errors of the storage are others."""


class Run:
    """Content of consecutive undamaged streams. Read it to its end, then check ``damage``."""

    def __init__(self, chunks: Iterator[tuple[int, bytes]]) -> None:
        """``chunks``: pairs of stream offset and content; may end by raising :class:`DamageError`."""
        self._chunks = chunks
        self._size = 0
        self._positions: list[int] = []
        """Position in the content of the first byte of each stream."""
        self._offsets: list[int] = []
        """Offset in the file of each stream."""
        self.damage: DamageError | None = None
        """The damage that ended the run, None if it ended with the file."""

    def read(self, _: int) -> bytes:
        """Return the next chunk of content, empty at the end."""
        try:
            offset, chunk = next(self._chunks, (0, b""))
        except DamageError as damage:
            self.damage = damage
            return b""
        if chunk and self.last_stream != offset:
            self._positions.append(self._size)
            self._offsets.append(offset)
        self._size += len(chunk)
        return chunk

    @property
    def last_stream(self) -> int:
        """Offset of the last stream that was read from; -1 if none was."""
        return self._offsets[-1] if self._offsets else -1

    def stream_at(self, position: int) -> int:
        """Offset of the stream that contains this byte of the content."""
        return self._offsets[bisect_right(self._positions, position) - 1]


def runs(stream: BinaryIO, start: int, stop: int) -> Iterator[Run]:
    """Yield the content of the streams that begin in ``start`` ≤ byte < ``stop``, as runs without damage.

    A run continues into the streams after ``stop`` as far as it is read, because a page may begin in one
    stream and end in another. Read each run to its end, or abandon it, before requesting the next.
    """
    stream.seek(start)
    lookahead = LookaheadStream(stream.read, start)
    if start:
        _seek_stream(lookahead, stop - start)
    while lookahead.position < stop and lookahead.peek(1):
        run = Run(_chunks(lookahead))
        yield run
        if run.damage is None:
            return


def is_bzip2(stream: BinaryIO) -> bool:
    """True if a file is bzip2, by its first bytes or, if they are damaged, by a valid stream near them."""
    stream.seek(0)
    lookahead = LookaheadStream(stream.read)
    if lookahead.peek(3) == BZIP2 or lookahead.peek(2) in _OTHER_STARTS:
        return lookahead.peek(3) == BZIP2
    return _find_stream(lookahead, 0, SEARCH_BYTES) is not None


def _chunks(lookahead: LookaheadStream) -> Iterator[tuple[int, bytes]]:
    """Yield the content of stream after stream, each chunk with the offset of its stream.

    Raises :class:`DamageError` after advancing to the next valid stream.
    """
    while _skip_empty(lookahead):
        offset = lookahead.position
        has_content = False
        try:
            for chunk in _content(lookahead):
                has_content = True
                yield offset, chunk
        except _BrokenStreamError as error:
            if not has_content and lookahead.position == offset:
                lookahead.skip(1)
            _seek_stream(lookahead)
            raise DamageError(str(error), offset, lookahead.position - offset) from None


def _skip_empty(lookahead: LookaheadStream) -> bool:
    """Advance past streams without content and padding. Return False at the end of the file."""
    while empty := _EMPTY.match(lookahead.peek(64)):
        lookahead.skip(empty.end())
    return bool(lookahead.peek(1))


def _content(lookahead: LookaheadStream) -> Iterator[bytes]:
    """Yield the content of the stream at the current position, and advance past it.

    Raises :class:`_BrokenStreamError` if the stream is damaged or cut short, or another begins inside it.
    """
    if not _STREAM_START.match(lookahead.peek(10)):
        raise _BrokenStreamError("no bzip2 stream begins here")
    decompressor = bz2.BZ2Decompressor()
    following = lookahead.search(_STREAM_START, 1, _INPUT_CHUNK)
    while not decompressor.eof:
        if following == 0:
            if _is_valid(lookahead, 0):
                raise _BrokenStreamError("the bzip2 stream is cut short: another one begins")
            following = lookahead.search(_STREAM_START, 1, _INPUT_CHUNK)
        data = lookahead.peek(_INPUT_CHUNK if following is None else following)
        if not data:
            raise _BrokenStreamError("the bzip2 stream is cut short")
        content = _decompress(decompressor, data)
        lookahead.skip(len(data) - len(decompressor.unused_data))
        if content:
            yield content
        following = lookahead.search(_STREAM_START, 0, _INPUT_CHUNK)


def _decompress(decompressor: bz2.BZ2Decompressor, data: bytes) -> bytes:
    """Feed ``data`` and return all content that comes out, verified. Raises :class:`_BrokenStreamError`."""
    blocks: list[bytes] = []
    size = 0
    while True:
        try:
            blocks.append(decompressor.decompress(data, BLOCK))
        except OSError as error:
            raise _BrokenStreamError(str(error)) from None
        size += len(blocks[-1])
        if decompressor.eof or decompressor.needs_input:
            return b"".join(blocks)
        if size > MAX_BYTES:
            raise _BrokenStreamError(
                f"{_INPUT_CHUNK} bytes of the bzip2 stream expand to more than {MAX_BYTES}"
            )
        data = b""


def _is_valid(lookahead: LookaheadStream, offset: int) -> bool:
    """True if the first block of the stream that seems to begin at ``offset`` has a correct checksum.

    No step of the decompression reads past the next start of a stream: if this one is cut short there, its
    blocks before that are valid all the same.
    """
    decompressor = bz2.BZ2Decompressor()
    try:
        while True:
            following = lookahead.search(_STREAM_START, offset + 1, offset + _INPUT_CHUNK)
            data = lookahead.peek(_INPUT_CHUNK if following is None else following - offset, offset)
            if not data:
                return False
            if _decompress(decompressor, data):
                return True
            offset += len(data)
    except _BrokenStreamError:
        pass  # The magic numbers occurred by chance in compressed data, or the stream is damaged.
    return False


def _seek_stream(lookahead: LookaheadStream, limit: int = UNBOUNDED) -> None:
    """Advance to the next valid stream within ``limit`` bytes, else by ``limit`` bytes."""
    lookahead.advance(partial(_find_stream, lookahead), 0, limit)


def _find_stream(lookahead: LookaheadStream, offset: int, limit: int) -> int | None:
    """Return the distance to the next valid stream that begins in ``offset`` ≤ distance < ``limit``."""
    return lookahead.search_valid(_STREAM_START, partial(_is_valid, lookahead), offset, limit)

"""Chains of bzip2 streams, read from any byte of the file on.

A multistream dump is many bzip2 streams in a row. Where a stream begins is told by the bytes alone: the magic
numbers of a stream and of its first block, and a first block whose checksum is right. So every reader of a
range finds the same begins, and what is damaged costs the rest of its own stream only. Bytes that belong to
no sound stream count to the stream before them.

Content is given out once the checksums of its blocks have been compared, never before.
"""

import bz2
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import BinaryIO

from pipeline.readers.compressed import BLOCK, BZIP2, GZIP
from pipeline.readers.lookahead import Window
from pipeline.readers.record import MAX_BYTES

_BEGIN = re.compile(rb"BZh[1-9]1AY&SY")
_NOTHING = re.compile(rb"BZh[1-9]\x17rE8P\x90\0{4}|\0{1,64}")
"""A stream without content, or padding."""
_NO_BZIP2 = (GZIP, b"<m", b"<?", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb")
"""What else a dump begins with."""
_PIECE = 1 << 14
"""Compressed bytes that are decompressed in one step, and stand or fall together."""
_FAR = 1 << 62
"""A byte that no file has."""
NEAR = 1 << 24
"""Bytes that are looked through at a time for the begin of a stream."""


class DamageError(Exception):
    """Bytes from ``offset`` on, ``length`` of them, are no sound stream."""

    def __init__(self, message: str, offset: int, length: int) -> None:
        super().__init__(message)
        self.offset = offset
        self.length = length


class Run:
    """Content that hangs together: read it to its end, then ask for ``damage``."""

    def __init__(self, pieces: Iterator[tuple[int, bytes]]) -> None:
        """``pieces``: each with the offset of the stream it is of; may end by :class:`DamageError`."""
        self._pieces = pieces
        self._size = 0
        self._begins: list[int] = []
        self._offsets: list[int] = []
        self.damage: DamageError | None = None
        """Why the content ends here, if it does not end with the file."""

    def read(self, _: int) -> bytes:
        """The next bytes; none at the end."""
        try:
            offset, piece = next(self._pieces, (0, b""))
        except DamageError as damage:
            self.damage = damage
            return b""
        if piece and self.last_stream != offset:
            self._begins.append(self._size)
            self._offsets.append(offset)
        self._size += len(piece)
        return piece

    @property
    def last_stream(self) -> int:
        """Offset of the last stream that content came from so far; -1 if none did."""
        return self._offsets[-1] if self._offsets else -1

    def stream_at(self, position: int) -> int:
        """Offset of the stream that holds this byte of the content."""
        return self._offsets[bisect_right(self._begins, position) - 1]


def runs(stream: BinaryIO, start: int, stop: int) -> Iterator[Run]:
    """The content of the streams that begin in ``start`` ≤ byte < ``stop``, and beyond as far as it is read.

    A run goes on into the streams after ``stop``, because what begins before a stream's end may end after it.
    Each run is read to its end, or left for good, before the next is asked for.
    """
    stream.seek(start)
    window = Window(stream.read, start)
    if start:
        _to_stream(window, stop)
    while window.position < stop and window.peek(1):
        run = Run(_pieces(window))
        yield run
        if run.damage is None:
            return


def is_chain(stream: BinaryIO) -> bool:
    """Whether a file is bzip2: by its first bytes or, if they are damaged, by a sound stream near them."""
    stream.seek(0)
    window = Window(stream.read)
    if window.peek(3) == BZIP2 or window.peek(2) in _NO_BZIP2:
        return window.peek(3) == BZIP2
    return _find(window, 0, NEAR) is not None


def _pieces(window: Window) -> Iterator[tuple[int, bytes]]:
    """The content of stream after stream, each piece with its stream's offset. Raises :class:`DamageError`.

    The window is then at the next sound stream.
    """
    while _skip_nothing(window):
        offset = window.position
        is_sound = False
        try:
            for piece in _content(window):
                is_sound = True
                yield offset, piece
        except OSError as error:
            if not is_sound and window.position == offset:
                window.skip(1)
            _to_stream(window, _FAR)
            raise DamageError(str(error), offset, window.position - offset) from None


def _skip_nothing(window: Window) -> bool:
    """Move the window past streams without content and past padding; whether anything is left."""
    while nothing := _NOTHING.match(window.peek(64)):
        window.skip(nothing.end())
    return bool(window.peek(1))


def _content(window: Window) -> Iterator[bytes]:
    """The content of the stream at the window's position; the window moves past it.

    Raises OSError where the stream is damaged, is cut short, or another sound one begins inside it.
    """
    if not _BEGIN.match(window.peek(10)):
        raise OSError("no bzip2 stream begins here")
    decompressor = bz2.BZ2Decompressor()
    following = window.search(_BEGIN, 1, _PIECE)
    while not decompressor.eof:
        if following == 0:
            if _is_sound(window, 0):
                raise OSError("the bzip2 stream is cut short: another one begins")
            following = window.search(_BEGIN, 1, _PIECE)
        piece = window.peek(_PIECE if following is None else following)
        if not piece:
            raise OSError("the bzip2 stream is cut short")
        content = _expand(decompressor, piece)
        window.skip(len(piece) - len(decompressor.unused_data))
        if content:
            yield content
        following = window.search(_BEGIN, 0, _PIECE)


def _expand(decompressor: bz2.BZ2Decompressor, piece: bytes) -> bytes:
    """All that comes out when the piece is put in, verified. Raises OSError."""
    expanded: list[bytes] = []
    size = 0
    while True:
        expanded.append(decompressor.decompress(piece, BLOCK))
        size += len(expanded[-1])
        if decompressor.eof or decompressor.needs_input:
            return b"".join(expanded)
        if size > MAX_BYTES:
            raise OSError(f"{_PIECE} bytes of the bzip2 stream expand to more than {MAX_BYTES}")
        piece = b""


def _is_sound(window: Window, offset: int) -> bool:
    """Whether the first block of the stream that seems to begin here is whole."""
    decompressor = bz2.BZ2Decompressor()
    try:
        while piece := window.peek(_PIECE, offset):
            if _expand(decompressor, piece):
                return True
            offset += len(piece)
    except OSError:
        pass  # The magic numbers by chance, inside compressed data; or damage.
    return False


def _to_stream(window: Window, stop: int) -> None:
    """Move the window to the next sound stream that begins before ``stop``, or there, or to the end."""
    while window.position < stop and window.peek(1):
        reach = min(NEAR, stop - window.position)
        found = _find(window, 0, reach)
        window.skip(reach if found is None else found)
        if found is not None:
            return


def _find(window: Window, offset: int, limit: int) -> int | None:
    """Distance to the next sound stream that begins in ``offset`` ≤ distance < ``limit``."""
    while (found := window.search(_BEGIN, offset, limit)) is not None:
        if _is_sound(window, found):
            return found
        offset = found + 1
    return None

"""A forward-only view of a byte stream with unlimited lookahead and bounded memory."""

import re
from collections.abc import Callable
from typing import BinaryIO

CHUNK = 1 << 20
"""Bytes per read."""
MAX_OVERREAD = 1 << 16
"""Bytes per read beyond the end of a range, where little more is needed."""
SEARCH_BYTES = 1 << 24
"""Bytes that :meth:`LookaheadStream.advance` searches, and buffers, at a time."""
UNBOUNDED = 1 << 62
"""An offset beyond the end of any stream."""
MAX_MATCH = 1 << 12
"""Longest match in bytes that a search is guaranteed to find."""


class LookaheadStream:
    """The bytes of a stream from ``position`` on, fetched when they are looked at.

    ``read(n)`` returns the next bytes of the stream, about ``n`` of them, and none at the end of the stream.
    ``position`` is the offset of the first of them. Offsets in all methods are relative to ``position``.
    """

    def __init__(self, read: Callable[[int], bytes], position: int = 0) -> None:
        self._read = read
        self._buffer = b""
        self._at = 0
        self._base = position
        self.eof = False
        """True once the end of the stream was reached: only ``available`` bytes are left."""

    @property
    def position(self) -> int:
        """Offset in the stream of the next byte."""
        return self._base + self._at

    @property
    def available(self) -> int:
        """Number of buffered bytes from ``position`` on."""
        return len(self._buffer) - self._at

    def peek(self, size: int, offset: int = 0) -> bytes:
        """Return ``size`` bytes at ``offset``, fewer only at the end of the stream."""
        self._fetch(offset + size)
        return self._buffer[self._at + offset : self._at + offset + size]

    def view(self, size: int, offset: int = 0) -> memoryview:
        """Like :meth:`peek`, without a copy. The view stays valid after :meth:`skip`."""
        self._fetch(offset + size)
        return memoryview(self._buffer)[self._at + offset : self._at + offset + size]

    def match(self, pattern: re.Pattern[bytes], size: int, offset: int = 0) -> re.Match[bytes] | None:
        """Match a pattern at ``offset`` against at most ``size`` bytes."""
        self._fetch(offset + size)
        start = self._at + offset
        return pattern.match(self._buffer, start, start + size)

    def skip(self, size: int) -> None:
        """Advance ``position`` by ``size`` bytes, at most to the end of the stream."""
        while size > (available := len(self._buffer) - self._at) and not self.eof:
            size -= available
            self._at = len(self._buffer)
            self._fetch(min(size, CHUNK))
        self._at += min(size, available)

    def search(self, pattern: re.Pattern[bytes], offset: int, limit: int) -> int | None:
        """Return the distance to the first match that starts in ``offset`` ≤ distance < ``limit``.

        Matches of up to ``MAX_MATCH`` bytes are found even if they cross the boundaries of reads.
        """
        while offset < limit:
            self._fetch(min(offset + CHUNK, limit + MAX_MATCH))
            if found := pattern.search(self._buffer, self._at + offset, self._at + limit + MAX_MATCH):
                distance = found.start() - self._at
                return distance if distance < limit else None
            if self.eof:
                return None
            offset = max(offset, min(self.available - MAX_MATCH, limit))
        return None

    def search_valid(
        self, pattern: re.Pattern[bytes], is_valid: Callable[[int], bool], offset: int, limit: int
    ) -> int | None:
        """Like :meth:`search`, for the first match whose distance passes ``is_valid``."""
        while (found := self.search(pattern, offset, limit)) is not None:
            if is_valid(found):
                return found
            offset = found + 1
        return None

    def advance(self, find: Callable[[int, int], int | None], offset: int, limit: int = UNBOUNDED) -> bool:
        """Advance by the first distance in ``offset`` ≤ distance < ``limit`` that ``find`` returns.

        If ``find(offset, limit)`` returns None, advance to ``limit`` or the end of the stream and return
        False. ``find`` may look at the byte before ``offset``, unless ``offset`` is 0.
        """
        while (found := find(offset, min(limit, SEARCH_BYTES))) is None:
            if limit <= SEARCH_BYTES or not self.peek(1, SEARCH_BYTES):
                self.skip(min(limit, SEARCH_BYTES))
                return False
            self.skip(SEARCH_BYTES - 1)
            offset, limit = 1, limit - SEARCH_BYTES + 1
        self.skip(found)
        return True

    def _fetch(self, size: int) -> None:
        """Buffer ``size`` bytes from ``position`` on, if the stream has them."""
        missing = size - (len(self._buffer) - self._at)
        if missing <= 0 or self.eof:
            return
        chunks = [self._buffer[self._at :]] if self.available else []
        self._base, self._at = self.position, 0
        while missing > 0:
            chunk = self._read(max(missing, CHUNK))
            if not chunk:
                self.eof = True
                break
            chunks.append(chunk)
            missing -= len(chunk)
        self._buffer = b"".join(chunks)


def open_range(stream: BinaryIO, start: int, stop: int) -> LookaheadStream:
    """Return a view that begins at ``start`` and reads little beyond ``stop``."""
    stream.seek(start)

    def read(size: int) -> bytes:
        return stream.read(min(size, max(stop - stream.tell(), MAX_OVERREAD)))

    return LookaheadStream(read, start)

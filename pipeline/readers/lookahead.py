"""A forward view of a stream: look ahead as far as needed, keep no more than that."""

import re
from collections.abc import Callable
from typing import BinaryIO

CHUNK = 1 << 20
"""Bytes read at a time."""
_BEYOND = 1 << 16
"""Bytes read at a time where they may not be needed."""
NEAR = 1 << 24
"""Bytes that are looked through, and kept, at a time."""
FAR = 1 << 62
"""A byte that no stream has."""
MARGIN = 1 << 12
"""Bytes of a match that may lie beyond the bytes that are searched."""


class Window:
    """The bytes of a stream from ``position`` on, fetched as they are looked at.

    ``read(n)`` gives the stream's next bytes, about ``n`` of them, and none at its end; ``position`` is where
    in the stream the first of them lies.
    """

    def __init__(self, read: Callable[[int], bytes], position: int = 0) -> None:
        self._read = read
        self._buffer = b""
        self._at = 0
        self._base = position
        self.ended = False
        """Whether the stream's end was met: all that is left is ``available``."""

    @property
    def position(self) -> int:
        """Where in the stream the window begins."""
        return self._base + self._at

    @property
    def available(self) -> int:
        """Bytes from ``position`` on that were fetched."""
        return len(self._buffer) - self._at

    def peek(self, size: int, offset: int = 0) -> bytes:
        """``size`` bytes from ``position + offset`` on; fewer only at the stream's end."""
        self._fetch(offset + size)
        return self._buffer[self._at + offset : self._at + offset + size]

    def view(self, size: int, offset: int = 0) -> memoryview:
        """As :meth:`peek`, without a copy; what it shows stays when the window moves on."""
        self._fetch(offset + size)
        return memoryview(self._buffer)[self._at + offset : self._at + offset + size]

    def match(self, pattern: re.Pattern[bytes], size: int, offset: int = 0) -> re.Match[bytes] | None:
        """A match at ``position + offset``, of at most ``size`` bytes."""
        self._fetch(offset + size)
        begin = self._at + offset
        return pattern.match(self._buffer, begin, begin + size)

    def skip(self, size: int) -> None:
        """Move the window forward, at most to the stream's end."""
        while size > (available := len(self._buffer) - self._at) and not self.ended:
            size -= available
            self._at = len(self._buffer)
            self._fetch(min(size, CHUNK))
        self._at += min(size, available)

    def search(self, pattern: re.Pattern[bytes], offset: int, limit: int) -> int | None:
        """Distance from ``position`` to the first match that begins in ``offset`` ≤ distance < ``limit``.

        Matches of up to ``MARGIN`` bytes are found wherever the stream was cut in reading.
        """
        while offset < limit:
            self._fetch(min(offset + CHUNK, limit + MARGIN))
            if found := pattern.search(self._buffer, self._at + offset, self._at + limit + MARGIN):
                distance = found.start() - self._at
                return distance if distance < limit else None
            if self.ended:
                return None
            offset = max(offset, min(self.available - MARGIN, limit))
        return None

    def advance(self, find: Callable[[int, int], int | None], offset: int, limit: int = FAR) -> bool:
        """Move to the first place in ``offset`` ≤ distance < ``limit`` that ``find(offset, limit)`` tells.

        Without such a place, move to the limit or the stream's end; whether there is one. ``find`` may look
        at the byte before ``offset``, unless that is 0.
        """
        while (found := find(offset, min(limit, NEAR))) is None:
            if limit <= NEAR or not self.peek(1, NEAR):
                self.skip(min(limit, NEAR))
                return False
            self.skip(NEAR - 1)
            offset, limit = 1, limit - NEAR + 1
        self.skip(found)
        return True

    def _fetch(self, size: int) -> None:
        """Have ``size`` bytes available, if the stream has them."""
        missing = size - (len(self._buffer) - self._at)
        if missing <= 0 or self.ended:
            return
        pieces = [self._buffer[self._at :]] if self.available else []
        self._base, self._at = self.position, 0
        while missing > 0:
            piece = self._read(max(missing, CHUNK))
            if not piece:
                self.ended = True
                break
            pieces.append(piece)
            missing -= len(piece)
        self._buffer = b"".join(pieces)


def window_of(stream: BinaryIO, start: int, stop: int) -> Window:
    """A window at ``start`` that fetches little beyond ``stop``."""
    stream.seek(start)

    def read(size: int) -> bytes:
        return stream.read(min(size, max(stop - stream.tell(), _BEYOND)))

    return Window(read, start)

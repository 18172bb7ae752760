"""A forward view of a stream: look ahead as far as needed, keep no more than that."""

import re
from collections.abc import Callable

CHUNK = 1 << 20
"""Bytes read at a time."""


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

    def skip(self, size: int) -> None:
        """Move the window forward, at most to the stream's end."""
        while size > self.available and not self.ended:
            size -= self.available
            self._at = len(self._buffer)
            self._fetch(min(size, CHUNK))
        self._at += min(size, self.available)

    def search(self, pattern: re.Pattern[bytes], offset: int, limit: int) -> int | None:
        """Distance from ``position`` to the first match that begins in ``offset`` ≤ distance < ``limit``.

        Matches of up to 64 bytes are found wherever the stream was cut in reading.
        """
        while offset < limit:
            self._fetch(min(offset + CHUNK, limit + 64))
            if found := pattern.search(self._buffer, self._at + offset, self._at + limit + 64):
                distance = found.start() - self._at
                return distance if distance < limit else None
            if self.ended:
                return None
            offset = max(offset, min(self.available - 64, limit))
        return None

    def _fetch(self, size: int) -> None:
        """Have ``size`` bytes available, if the stream has them."""
        if self.ended or self.available >= size:
            return
        pieces = [self._buffer[self._at :]]
        missing = size - len(pieces[0])
        self._base, self._at = self.position, 0
        while missing > 0:
            piece = self._read(max(missing, CHUNK))
            if not piece:
                self.ended = True
                break
            pieces.append(piece)
            missing -= len(piece)
        self._buffer = b"".join(pieces)

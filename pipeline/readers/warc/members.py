"""Compressed WARC and ARC files: chains of gzip members or zstd frames, as a rule one for each record.

A member is inflated to learn where the next begins. Only where a range begins, and after damage, the next is
searched for, by what a member that holds a record begins with: so reading can start anywhere in a file, and
damage in one member costs that member only. Bytes that are no such member count to the member before them.
"""

import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO

from pipeline.readers.compressed import BLOCK, DAMAGE, ZSTD, Decompressor, Inflater, zstd
from pipeline.readers.lookahead import FAR, NEAR, Window, window_of
from pipeline.readers.record import Origin
from pipeline.readers.warc.framing import RECORD, Frame, only_record, plain_frames

_PIECE = 1 << 16
"""Compressed bytes that are inflated in one step."""
_BEGIN = 1 << 12
"""Bytes of a member's content that tell whether it begins with a record."""
_SKIPPABLE = b"\x2a\x4d\x18"
"""What a zstd frame without content begins with, after one byte that varies; four bytes tell its length."""
_MAX_DICTIONARY = 1 << 26
_DICTIONARY = b"\x5d" + _SKIPPABLE
"""Begin of the frame without content that holds the dictionary for all others."""


@dataclass(frozen=True, slots=True)
class Codec:
    """How the members of a file are compressed."""

    member: str
    """What one is called."""
    begin: re.Pattern[bytes]
    make: Callable[[], Decompressor]
    ahead: int
    """Compressed bytes that must be known before any content comes out."""


_GZIP = Codec("gzip member", re.compile(rb"\x1f\x8b\x08[\x00-\x1f]"), Inflater, 1 << 12)
_ZSTD = Codec("zstd frame", re.compile(rb"\x28\xb5\x2f\xfd"), zstd.ZstdDecompressor, 1 << 18)


def codec(stream: BinaryIO) -> Codec | None:
    """How a file is compressed, by a member with a record near its begin, or else by its first bytes.

    None if it is not.
    """
    stream.seek(0)
    window = Window(stream.read)
    if window.match(RECORD, _BEGIN):
        return None
    if window.peek(4) == _DICTIONARY:
        return _with_dictionary(window)
    if window.peek(4)[1:] == _SKIPPABLE:
        return _ZSTD
    for known in (_GZIP, _ZSTD):
        if _find(window, known, 0, NEAR) is not None:
            return known
    return next((known for known in (_GZIP, _ZSTD) if window.match(known.begin, 4)), None)


def holds_member(stream: BinaryIO, codec: Codec, offset: int = 0) -> bool:
    """Whether a member with a record begins at ``offset`` or later, but near the file's begin."""
    stream.seek(0)
    return _find(Window(stream.read), codec, offset, NEAR) is not None


def member_frames(stream: BinaryIO, codec: Codec, start: int, stop: int) -> Iterator[Frame]:
    """The records whose member begins in ``start`` ≤ byte < ``stop``, in bounded memory.

    A record's origin is its member's. Records that share a member, which the standard advises against, are
    told apart by adding their ordinal to the offset. A damaged member is one damaged record, after those that
    came whole out of more than its first ``BLOCK`` bytes. Little is read beyond the last member of the range.
    """
    window = window_of(stream, start, stop)
    if start and not _to_member(window, codec, 0, stop - start):
        return
    while window.position < stop and window.peek(1):
        content, length = _inflate(window, codec)
        if record := only_record(content, Origin(window.position, length)):
            window.skip(length)
            yield record
            continue
        if _skip_empty(window):
            continue
        member = _Member(window, codec, content, length)
        inside = Window(member.read)
        last = (yield from _records(member, inside)) if member.is_promising(inside) else None
        if last and not member.error:
            yield last
            continue
        # What is damaged may have run on into sound members: they are looked for from its first byte on.
        window = window_of(stream, member.offset, stop)
        yield _gap(window, codec, last.origin.offset if last else member.offset, member.error)
    _skip_empty(window)
    if window.peek(1) and _find(window, codec, 0, 1) is None:
        member = _Member(window, codec)
        member.is_promising(Window(member.read))
        yield _gap(window_of(stream, member.offset, stop), codec, member.offset, member.error)


def _inflate(window: Window, codec: Codec) -> tuple[bytes, int]:
    """Content and length of the member at the window's position; none if it is very long or not sound."""
    decompressor = codec.make()
    # A short piece first: what of it is not the member's is copied, and most members are short.
    fed, piece, size = 0, _PIECE >> 3, 0
    blocks: list[bytes] = []
    try:
        while not decompressor.eof:
            data = window.view(piece, fed) if decompressor.needs_input else b""
            block = decompressor.decompress(data, BLOCK)
            fed, piece, size = fed + len(data), _PIECE, size + len(block)
            blocks.append(block)
            if size > NEAR or not (data or block):
                return b"", 0
    except DAMAGE:
        return b"", 0
    return b"".join(blocks), fed - len(decompressor.unused_data)


class _Member:
    """A member that is inflated as its content is read; ``length`` and ``error`` are final at its end."""

    def __init__(self, window: Window, codec: Codec, content: bytes = b"", length: int = 0) -> None:
        """At the window's position; ``content`` and ``length`` where they are known."""
        self.offset = window.position
        self.length = length
        self.error = ""
        self._content = content
        self._name = codec.member
        self._decompressor = codec.make()
        self._window = window
        self._fed = 0
        """Bytes at the window's position that were put in."""
        window.skip(length)

    def is_promising(self, content: Window) -> bool:
        """Whether a record begins the content, and no damage is met in its first ``BLOCK`` bytes."""
        content.view(BLOCK)
        return not self.error and content.match(RECORD, _BEGIN) is not None

    def read(self, _: int) -> bytes:
        """The next bytes of content; none at its end."""
        if self._content:
            block, self._content = self._content, b""
            return block
        inflater = self._decompressor
        while not self.length and not self.error:
            data = self._feed() if inflater.needs_input else b""
            try:
                block = inflater.decompress(data, BLOCK)
            except DAMAGE as error:
                self.error = f"damaged {self._name}: {error}"
                break
            if inflater.eof:
                self._window.skip(self._fed - len(inflater.unused_data))
                self.length = self._window.position - self.offset
            elif not block and not data and inflater.needs_input:
                self.error = f"{self._name} is cut short"
            if block:
                return block
        return b""

    def _feed(self) -> memoryview:
        self._window.skip(self._fed)
        data = self._window.view(_PIECE)
        self._fed = len(data)
        return data


def _records(member: _Member, content: Window) -> Generator[Frame, None, Frame | None]:
    """Yield all records of a member but the last, which is returned: it stands or falls with the checksum."""
    last: Frame | None = None
    for ordinal, frame in enumerate(plain_frames(content)):
        if last:
            yield last
        origin = Origin(member.offset + ordinal, max(0, member.length - ordinal))
        last = frame._replace(origin=origin)
    return last


def _gap(window: Window, codec: Codec, begin: int, error: str) -> Frame:
    """What lies between ``begin`` and the next member after the window's position; the window moves there."""
    _to_member(window, codec, 1)
    error = error or f"no {codec.member} with a WARC record"
    return Frame(Origin(begin, window.position - begin), error=error)


def _skip_empty(window: Window) -> bool:
    """Move past zstd frames without content; whether there were any."""
    start = window.position
    while (begin := window.peek(8))[1:4] == _SKIPPABLE:
        window.skip(8 + int.from_bytes(begin[4:], "little"))
    return window.position > start


def _to_member(window: Window, codec: Codec, offset: int, limit: int = FAR) -> bool:
    """Move to the next member in ``offset`` ≤ distance < ``limit``, or there; whether there is one."""
    return window.advance(partial(_find, window, codec), offset, limit)


def _find(window: Window, codec: Codec, offset: int, limit: int) -> int | None:
    """Distance to the next member that begins with a record."""
    while (found := window.search(codec.begin, offset, limit)) is not None:
        try:
            begin = codec.make().decompress(window.view(codec.ahead, found), _BEGIN)
        except DAMAGE:
            begin = b""  # The magic number by chance, inside compressed data.
        if RECORD.match(begin):
            return found
        offset = found + 1
    return None


def _with_dictionary(window: Window) -> Codec:
    """zstd with the dictionary in the frame at the window's position, itself compressed or not.

    With one that cannot be read, no frame can.
    """
    length = int.from_bytes(window.peek(4, 4), "little")
    content = window.peek(length, 8) if length <= _MAX_DICTIONARY else b""
    try:
        if content.startswith(ZSTD):
            content = zstd.ZstdDecompressor().decompress(content, _MAX_DICTIONARY)
        dictionary = zstd.ZstdDict(content)
    except (ValueError, zstd.ZstdError):
        return _ZSTD
    return replace(_ZSTD, make=partial(zstd.ZstdDecompressor, dictionary))

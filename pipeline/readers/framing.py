"""Where WARC records begin and end, in sound files and damaged ones.

A gzipped WARC is a chain of gzip members. Their boundaries are found by looking for what a member that
holds a WARC record begins with, not by decompressing, so a reader can start anywhere in a file and damage in
one member costs that member only. A plain WARC is a chain of headers that each announce their block's length;
the length is believed if another record, or the end of the file, follows it.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from typing import BinaryIO

from fastwarc.stream_io import GzipReader

from pipeline.readers.compressed import BLOCK, CHUNK, GZIP, Inflater
from pipeline.readers.record import MAX_BYTES, Origin
from pipeline.readers.window import Window

MAX_HEADER = 1 << 16
"""Longest WARC header in bytes."""
IN_MEMORY = 1 << 24
"""A longer gzip member, compressed, is streamed."""
FAR = 1 << 62
"""A byte that no file has."""

_MEMBER = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]")
_START = re.compile(rb"WARC/\d")
_LINE_START = re.compile(rb"\nWARC/\d+\.\d+\r?\n[\w-]+:")
_HEADER = re.compile(rb"WARC/\d+\.\d+[ \t]*\r?\n(?s:.*?)\r?\n\r?\n")
_CONTENT_LENGTH = re.compile(rb"(?im)^content-length[ \t]*:[ \t]*(\d+)[ \t]*\r?$")
_FOLLOWS = re.compile(rb"\r\n\r\n|[\r\n]*(?:WARC/|\Z)")
_NO_MEMBER = "no gzip member with a WARC record"
_NEWLINES = re.compile(rb"[\r\n]*")


@dataclass(frozen=True, slots=True)
class Frame:
    """One record as it lies in the file, or why there is none."""

    origin: Origin
    raw: bytes = b""
    """Header and block; of a record over ``MAX_BYTES``, the header only."""
    block_length: int = 0
    error: str = ""


class _Member:
    """A gzip member; ``length`` and ``error`` are final once ``content`` is read to its end."""

    def __init__(self, offset: int, length: int, read: Callable[[int], bytes]) -> None:
        self.offset = offset
        self.length = length
        self.error = ""
        self.content = Window(read)

    def nth(self, ordinal: int) -> Origin:
        """Where the member's nth record lies: up to the member's end, at an offset of its own."""
        return Origin(self.offset + ordinal, max(0, self.length - ordinal))


class _StreamedMember(_Member):
    """A member that is too large for memory, or damaged: inflated step by step."""

    def __init__(self, stream: BinaryIO, offset: int, following: int | None) -> None:
        super().__init__(offset, 0, self._inflate)
        stream.seek(offset)
        self._stream = stream
        self._following = following
        self._inflater = Inflater()
        self._taken = 0

    def _inflate(self, _: int) -> bytes:
        while not self._inflater.eof and not self.error:
            data = self._stream.read(CHUNK) if self._inflater.needs_input else b""
            self._taken += len(data)
            try:
                if block := self._inflater.decompress(data, BLOCK):
                    return block
            except zlib.error as error:
                self.error = f"damaged gzip member: {error}"
            if self._inflater.needs_input and not data and not self._inflater.eof:
                self.error = self.error or "gzip member is cut short"
        sound = self._taken - len(self._inflater.unused_data)
        self.length = (self._following or self._taken) if self.error else sound
        return b""


def holds_member(stream: BinaryIO) -> bool:
    """Whether a gzip member with a WARC record begins anywhere near the file's begin."""
    stream.seek(0)
    return _find_member(Window(stream.read), 0, IN_MEMORY) is not None


def is_chain(stream: BinaryIO) -> bool:
    """Whether a file is more than one gzip member, as far as its first bytes tell."""
    stream.seek(0)
    return _find_member(Window(stream.read), 1, IN_MEMORY) is not None


def is_gzip(stream: BinaryIO) -> bool:
    """Whether a WARC is compressed: by its first bytes or, if they are damaged, by a member near them."""
    stream.seek(0)
    begin = stream.read(5)
    return begin.startswith(GZIP) or (begin != b"WARC/" and holds_member(stream))


def gzip_frames(stream: BinaryIO, start: int, stop: int) -> Iterator[Frame]:
    """The records whose gzip member begins in ``start`` ≤ byte < ``stop``.

    A record's origin is its member's. Records that share a member, which the standard advises against, are
    told apart by adding their ordinal to the offset.
    """
    for member in _members(stream, start, stop):
        if isinstance(member, Frame):
            yield member
            continue
        held: Frame | None = None
        ordinal = 0
        for ordinal, frame in enumerate(plain_frames(member.content, FAR)):
            if held:
                yield held
            held = replace(frame, origin=member.nth(ordinal))
        # Only now is the member read to its end: its last record stands or falls with its checksum.
        if member.error or held is None:
            yield Frame(member.nth(ordinal), error=member.error or "gzip member without a WARC record")
        else:
            yield replace(held, origin=member.nth(ordinal))


def plain_frames(window: Window, stop: int, size: int = FAR) -> Iterator[Frame]:
    """The records that begin in the window before ``stop``; ``size`` is the stream's, where it is known.

    A window that begins after the stream's first byte is first moved to a record.
    """
    if window.position:
        _to_record(window)
    while window.position < stop and window.peek(1):
        offset = window.position
        head = _HEADER.match(window.peek(MAX_HEADER))
        length = _CONTENT_LENGTH.search(head.group()) if head else None
        if not head or not length:
            begins = window.peek(20)
            window.skip(1)
            _to_record(window)
            origin = Origin(offset, window.position - offset)
            yield Frame(origin, error=f"begins with {begins!r}: not a WARC header with a Content-Length")
        else:
            yield _frame(window, head.end(), int(length.group(1)), size)


def _frame(window: Window, header: int, block: int, size: int) -> Frame:
    """The record at the window's position, by its header's and block's length; the window moves past it."""
    offset, end = window.position, header + block
    whole = offset + end <= size
    small = block <= MAX_BYTES
    raw = window.peek(end) if small and whole else window.peek(header)
    if whole and not small:
        window.skip(end)
        whole = window.available > 0 or not window.ended
        sound = whole and _FOLLOWS.match(window.peek(16))
    else:
        whole = whole and len(raw) == end
        sound = whole and _FOLLOWS.match(window.peek(16, end))
        window.skip(end if sound else 1)
    if sound:
        while newlines := len(_NEWLINES.match(window.peek(64)).group()):  # type: ignore[union-attr]  # matches ""
            window.skip(newlines)
        return Frame(Origin(offset, window.position - offset), raw, block)
    _to_record(window)
    found = "no record follows it" if whole else "the file ends before it"
    return Frame(
        Origin(offset, window.position - offset), error=f"Content-Length is {block} bytes, but {found}"
    )


def _to_record(window: Window) -> None:
    """Move the window to the next line that begins a WARC header, or to the end."""
    # The line break before the header may be the byte before the window.
    if _START.match(window.peek(8)):
        return
    while (found := window.search(_LINE_START, 0, IN_MEMORY)) is None and window.peek(1):
        window.skip(IN_MEMORY)
    window.skip(0 if found is None else found + 1)


def _members(stream: BinaryIO, start: int, stop: int) -> Iterator[_Member | Frame]:
    """The gzip members that begin in the range, and what lies between them.

    The caller reads a member's content to the end before it asks for the next.
    """
    stream.seek(start)
    window = Window(stream.read, start)
    gap = _to_member(window)
    if gap and not start:
        yield Frame(Origin(0, gap), error=_NO_MEMBER)
    while window.position < stop and window.peek(1):
        offset = window.position
        following = _find_member(window, 1, IN_MEMORY)
        length = following or window.available
        content = _inflate(window.peek(length)) if following or window.ended else None
        if content is not None:
            yield _Member(offset, length, BytesIO(content).read)
            window.skip(length)
            continue
        member = _StreamedMember(stream, offset, following)
        yield member
        end = offset + ((following or 1) if member.error else member.length)
        stream.seek(end)
        window = Window(stream.read, end)
        gap = _to_member(window)
        if gap and not member.error:
            yield Frame(Origin(end, gap), error=_NO_MEMBER)


def _to_member(window: Window) -> int:
    """Move the window to the next member; the bytes that were passed over."""
    begin = window.position
    while (found := _find_member(window, 0, IN_MEMORY)) is None and window.peek(1):
        window.skip(IN_MEMORY)
    window.skip(found or 0)
    return window.position - begin


def _find_member(window: Window, offset: int, limit: int) -> int | None:
    """Distance to the next gzip member that begins with a WARC record, from ``offset`` on."""
    while (found := window.search(_MEMBER, offset, limit)) is not None:
        try:
            if zlib.decompressobj(31).decompress(window.peek(1024, found), 5) == b"WARC/":
                return found
        except zlib.error:
            pass  # The magic by chance, inside compressed data.
        offset = found + 1
    return None


def _inflate(raw: bytes) -> bytes | None:
    """The content of whole gzip members; None if they are damaged or do not end where ``raw`` does."""
    try:
        content: bytes = GzipReader(BytesIO(raw)).read()
    except OSError:
        return None
    # FastWARC checks the checksum but takes a cut for an end; the last four bytes tell the two apart.
    return content if len(content) & 0xFFFFFFFF == int.from_bytes(raw[-4:], "little") else None

"""Compressed WARC and ARC files: chains of gzip members or zstd frames, usually one per record.

Decompressing a member shows where the next one begins. Only at the start of a range and after damage is the
next member searched for, by the start of a member that contains a record. Reading can therefore start
anywhere in a file, and damage costs only the member that it is in. Bytes that belong to no member count to
the one before them.
"""

from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import partial
from io import BytesIO
from typing import BinaryIO

from pipeline.readers import compressed
from pipeline.readers.compressed import (
    BLOCK,
    DECOMPRESSION_ERRORS,
    GZIP_CODEC,
    HEAD_BYTES,
    ZSTD,
    ZSTD_CODEC,
    Codec,
    find_member,
    is_compressed,
    zstd,
    zstd_decompressor,
)
from pipeline.readers.lookahead import SEARCH_BYTES, UNBOUNDED, LookaheadStream, open_range
from pipeline.readers.record import Origin
from pipeline.readers.warc.framing import RECORD, Frame, find_record, plain_frames, single_record
from pipeline.readers.warc.streams import contains_record

_CODECS = (GZIP_CODEC, ZSTD_CODEC)
_INPUT_CHUNK = 1 << 16
"""Compressed bytes per decompression step."""
_PROBE_BYTES = 1 << 12
"""Bytes of a member's content that show whether it starts with a record."""
_SKIPPABLE = b"\x2a\x4d\x18"
"""Bytes 1 to 3 of a skippable zstd frame; byte 0 varies, bytes 4 to 7 are the frame's length."""
_MAX_DICTIONARY = 1 << 26
_DICTIONARY = b"\x5d" + _SKIPPABLE
"""Start of the skippable frame that contains the dictionary of all other frames."""


def detect_codec(stream: BinaryIO) -> Codec | None:
    """Return the compression of the members of a file, or None if its records are not members.

    Decided by the first record near the start of the file. There may be damage before it.
    """
    stream.seek(0)
    lookahead = LookaheadStream(stream.read)
    if lookahead.match(RECORD, _PROBE_BYTES):
        return None
    if lookahead.peek(4) == _DICTIONARY:
        return _with_dictionary(lookahead)
    _skip_empty(lookahead)
    start = compressed.detect_codec(lookahead.peek(HEAD_BYTES))
    if start and (start not in _CODECS or _is_nested(lookahead, start)):
        return None
    if start and _find_member(lookahead, start, 0, 1) is not None:
        return None if _spans_members(lookahead, start) else start
    limit = find_record(lookahead, 0, SEARCH_BYTES) or SEARCH_BYTES
    found = (each for each in _CODECS if _find_member(lookahead, each, 0, limit) is not None)
    return next(found, None) or (None if contains_record(stream) else start)


def _is_nested(lookahead: LookaheadStream, codec: Codec) -> bool:
    """True if the content of the first member is compressed again."""
    data = lookahead.view(codec.probe_size)
    try:
        return is_compressed(codec.make_decompressor().decompress(data, HEAD_BYTES))
    except DECOMPRESSION_ERRORS:
        return False


def _spans_members(lookahead: LookaheadStream, codec: Codec) -> bool:
    """True if a record continues in the second member, as if the file were compressed in blocks."""
    content, length = _decompress(lookahead, codec)
    frames = list(plain_frames(LookaheadStream(BytesIO(content).read)))
    if not frames or not frames[-1].error:
        return False
    following = find_member(lookahead, codec, bool, length, SEARCH_BYTES)
    return following is not None and _find_member(lookahead, codec, following, following + 1) is None


def contains_member(stream: BinaryIO, codec: Codec, offset: int = 0) -> bool:
    """True if a member with a record begins at ``offset`` or later, within the first ``SEARCH_BYTES``."""
    stream.seek(0)
    return _find_member(LookaheadStream(stream.read), codec, offset, SEARCH_BYTES) is not None


def member_frames(stream: BinaryIO, codec: Codec, start: int, stop: int) -> Iterator[Frame]:
    """Yield the records whose member begins in ``start`` ≤ byte < ``stop``, in bounded memory.

    The origin of a record is that of its member. For records that share a member, which the standard advises
    against, the ordinal in the member is added to the offset. A damaged member yields one damaged record,
    after the complete records before the damage, if its first ``BLOCK`` bytes are sound. Reads little beyond
    the last member of the range.
    """
    lookahead = open_range(stream, start, stop)
    if start and not _seek_member(lookahead, codec, 0, stop - start):
        return
    while lookahead.position < stop and lookahead.peek(1):
        content, length = _decompress(lookahead, codec)
        if record := single_record(content, Origin(lookahead.position, length)):
            lookahead.skip(length)
            yield record
            continue
        if length and not content:
            lookahead.skip(length)
            continue
        if _skip_empty(lookahead):
            continue
        member = _Member(lookahead, codec, content, length)
        inner = LookaheadStream(member.read)
        last = (yield from _records(member, inner)) if member.starts_with_record(inner) else None
        if last and not member.error:
            yield last
            continue
        # A damaged member may have consumed sound ones: search for them from its first byte on.
        lookahead = open_range(stream, member.offset, stop)
        yield _damaged_span(lookahead, codec, last.origin.offset if last else member.offset, member.error)
    _skip_empty(lookahead)
    if lookahead.peek(1) and _find_member(lookahead, codec, 0, 1) is None:
        member = _Member(lookahead, codec)
        member.starts_with_record(LookaheadStream(member.read))
        yield _damaged_span(open_range(stream, member.offset, stop), codec, member.offset, member.error)


def _decompress(lookahead: LookaheadStream, codec: Codec) -> tuple[bytes, int]:
    """Return content and length of the member at the stream's position; none if it is long or damaged."""
    decompressor = codec.make_decompressor()
    # Start with a small chunk: its bytes beyond the member are copied, and most members are short.
    consumed, chunk_size, size = 0, _INPUT_CHUNK >> 3, 0
    blocks: list[bytes] = []
    while not decompressor.eof:
        data = lookahead.view(chunk_size, consumed) if decompressor.needs_input else b""
        try:
            block = decompressor.decompress(data, BLOCK)
        except DECOMPRESSION_ERRORS:
            return b"", 0
        consumed, chunk_size, size = consumed + len(data), _INPUT_CHUNK, size + len(block)
        blocks.append(block)
        if size > SEARCH_BYTES or not (data or block):
            return b"", 0
    return b"".join(blocks), consumed - len(decompressor.unused_data)


class _Member:
    """A member that is decompressed as it is read. ``length`` and ``error`` are final at its end."""

    def __init__(
        self, lookahead: LookaheadStream, codec: Codec, content: bytes = b"", length: int = 0
    ) -> None:
        """Start at the position of ``lookahead``; ``content`` and ``length`` if already decompressed."""
        self.offset = lookahead.position
        self.length = length
        self.error = ""
        self._content = content
        self._name = codec.member_name
        self._decompressor = codec.make_decompressor()
        self._lookahead = lookahead
        self._consumed = 0
        """Bytes at the stream's position that the decompressor was fed."""
        lookahead.skip(length)

    def starts_with_record(self, content: LookaheadStream) -> bool:
        """True if the content starts with a record and its first ``BLOCK`` bytes are not damaged."""
        content.view(BLOCK)
        return not self.error and content.match(RECORD, _PROBE_BYTES) is not None

    def read(self, _: int) -> bytes:
        """Return the next block of content, empty at the end."""
        if self._content:
            block, self._content = self._content, b""
            return block
        decompressor = self._decompressor
        while not self.length and not self.error:
            data = self._next_input() if decompressor.needs_input else b""
            try:
                block = decompressor.decompress(data, BLOCK)
            except DECOMPRESSION_ERRORS as error:
                self.error = f"damaged {self._name}: {error}"
                break
            if decompressor.eof:
                self._lookahead.skip(self._consumed - len(decompressor.unused_data))
                self.length = self._lookahead.position - self.offset
            elif not block and not data and decompressor.needs_input:
                self.error = f"{self._name} is cut short"
            if block:
                return block
        return b""

    def _next_input(self) -> memoryview:
        self._lookahead.skip(self._consumed)
        data = self._lookahead.view(_INPUT_CHUNK)
        self._consumed = len(data)
        return data


def _records(member: _Member, content: LookaheadStream) -> Generator[Frame, None, Frame | None]:
    """Yield all records of a member but the last, which is returned: its validity depends on the checksum."""
    last: Frame | None = None
    for ordinal, frame in enumerate(plain_frames(content)):
        if last:
            yield last
        origin = Origin(member.offset + ordinal, max(0, member.length - ordinal))
        last = frame._replace(origin=origin)
    return last


def _damaged_span(lookahead: LookaheadStream, codec: Codec, start: int, error: str) -> Frame:
    """Advance to the next member, and return the bytes from ``start`` to it as one damaged record."""
    _seek_member(lookahead, codec, 1)
    error = error or f"no {codec.member_name} with a WARC record"
    return Frame(Origin(start, lookahead.position - start), error=error)


def _skip_empty(lookahead: LookaheadStream) -> bool:
    """Advance past skippable zstd frames. Return False if there were none."""
    start = lookahead.position
    while (head := lookahead.peek(8))[1:4] == _SKIPPABLE:
        lookahead.skip(8 + int.from_bytes(head[4:], "little"))
    return lookahead.position > start


def _seek_member(lookahead: LookaheadStream, codec: Codec, offset: int, limit: int = UNBOUNDED) -> bool:
    """Advance to the next member in ``offset`` ≤ distance < ``limit``, else to ``limit`` and return False."""
    return lookahead.advance(partial(_find_member, lookahead, codec), offset, limit)


def _find_member(lookahead: LookaheadStream, codec: Codec, offset: int, limit: int) -> int | None:
    """Return the distance to the next member that starts with a record."""
    return find_member(lookahead, codec, RECORD.match, offset, limit)


def _with_dictionary(lookahead: LookaheadStream) -> Codec:
    """Return zstd with the dictionary, compressed or not, in the frame at the stream's position.

    If the dictionary cannot be read, return zstd without it: every frame will then be damaged.
    """
    length = int.from_bytes(lookahead.peek(4, 4), "little")
    content = lookahead.peek(length, 8) if length <= _MAX_DICTIONARY else b""
    try:
        if content.startswith(ZSTD):
            content = zstd.ZstdDecompressor().decompress(content, _MAX_DICTIONARY)
        dictionary = zstd.ZstdDict(content)
    except (ValueError, zstd.ZstdError):
        return ZSTD_CODEC
    return replace(ZSTD_CODEC, make_decompressor=partial(zstd_decompressor, dictionary))

"""Boundaries of the records of a WARC or ARC file, also in damaged content.

The header of each record announces the length of the block after it. The length is trusted if another record,
or the end of the content, follows the block. Otherwise the record is damaged and reading continues at the
next header.
"""

import re
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from pipeline.readers.lookahead import UNBOUNDED, LookaheadStream
from pipeline.readers.record import MAX_BYTES, Origin
from pipeline.readers.warc import arc
from pipeline.readers.warc.header import Header, field_values, fields_pattern

MAX_HEADER = 1 << 16
"""Longest WARC header in bytes."""

_VERSION_LINE = rb"(?i:WARC)/\d+(?:\.\d+)?[ \t]*\r?\n"
_BLANK = rb"(?:\xef\xbb\xbf)?[\r\n]*+"
RECORD = re.compile(_BLANK + rb"(?:" + _VERSION_LINE + rb"[\w-]+[ \t]*:|" + arc.LINE + rb")")
"""Start of a WARC or ARC record, perhaps after a byte order mark and empty lines."""
_WARC_RECORD = re.compile(_VERSION_LINE + rb"[\w-]+[ \t]*:")
_NEWLINE_AND_ARC_RECORD = re.compile(rb"\n" + arc.LINE)
_FIELD_NAMES = (b"warc-type", b"warc-target-uri", b"warc-date", b"content-type", b"content-length")
_WARC_HEADER = re.compile(_VERSION_LINE + fields_pattern(1, *_FIELD_NAMES) + rb"\r?\n")
_ARC_HEADER = re.compile(arc.LINE)
_RECORD_END = re.compile(rb"\r\n\r\n|[\r\n]*(?:(?i:WARC)/|\Z)|[\r\n]+" + arc.LINE)
_NEWLINES = re.compile(rb"[\r\n]+")
_START = re.compile(_BLANK)


class Frame(NamedTuple):
    """One record as stored in the file, or the error that prevents reading it."""

    origin: Origin
    header: Header = Header()
    block: memoryview = memoryview(b"")
    """Empty if longer than ``MAX_BYTES``."""
    block_length: int = 0
    error: str = ""


def plain_frames(
    lookahead: LookaheadStream, start: int = 0, stop: int = UNBOUNDED, size: int = UNBOUNDED
) -> Iterator[Frame]:
    """Yield the records that begin in ``start`` ≤ byte < ``stop`` of uncompressed content.

    The stream must be at byte ``start`` or, unless that is 0, one byte before it. ``size`` is the size of the
    content, where it is known.
    """
    if start and not seek_record(lookahead, 1, stop - lookahead.position):
        return
    while not start and (blank := lookahead.match(_START, 64)) and blank[0]:
        lookahead.skip(len(blank[0]))
    while lookahead.position < stop and lookahead.peek(1):
        header, header_size = _read_header(lookahead)
        length = header.length.strip()
        if length.isdigit() and len(length) < 16:
            yield _read_frame(lookahead, header, header_size, int(length), size)
        else:
            yield _unframed(lookahead)


def single_record(content: bytes, origin: Origin) -> Frame | None:
    """Return the record if ``content`` is exactly one WARC record, else None."""
    head = _WARC_HEADER.match(content)
    if not head:
        return None
    header, start = _warc_header(head), head.end()
    length = len(content) - start - 4
    if header.length.strip() != b"%d" % length or content[-4:] != b"\r\n\r\n" or length > MAX_BYTES:
        return None
    return Frame(origin, header, memoryview(content)[start:-4], length)


def seek_record(lookahead: LookaheadStream, offset: int, limit: int = UNBOUNDED) -> bool:
    """Advance to the next record in ``offset`` ≤ distance < ``limit``. Return False if there is none."""
    return lookahead.advance(partial(find_record, lookahead), offset, limit)


def find_record(lookahead: LookaheadStream, offset: int, limit: int) -> int | None:
    """Return the distance to the next record in ``offset`` ≤ distance < ``limit``, or None."""
    warc = lookahead.search(_WARC_RECORD, offset, limit)
    newline = lookahead.search(
        _NEWLINE_AND_ARC_RECORD, max(0, offset - 1), (limit if warc is None else warc) - 1
    )
    return warc if newline is None else newline + 1


def _read_header(lookahead: LookaheadStream) -> tuple[Header, int]:
    """Return the header at the stream's position and its size in bytes; an empty header if there is none."""
    if head := lookahead.match(_WARC_HEADER, MAX_HEADER):
        return _warc_header(head), len(head[0])
    if line := lookahead.match(_ARC_HEADER, MAX_HEADER):
        return arc.to_warc_header(line, lookahead.peek(5, len(line[0]))), len(line[0])
    return Header(), 0


def _warc_header(head: re.Match[bytes]) -> Header:
    record_type, url, date, content_type, length, _ = field_values(head)
    return Header(record_type, url, date, content_type, length)


def _unframed(lookahead: LookaheadStream) -> Frame:
    """Return the bytes up to the next record as one damaged record, and skip them."""
    head, offset = lookahead.peek(20), lookahead.position
    seek_record(lookahead, 1)
    error = f"begins with {head!r}: not a WARC header with a Content-Length"
    return Frame(Origin(offset, lookahead.position - offset), error=error)


def _read_frame(
    lookahead: LookaheadStream, header: Header, header_size: int, block_size: int, size: int
) -> Frame:
    """Return the record at the stream's position and skip it, with the newlines after it."""
    offset, end = lookahead.position, header_size + block_size
    block, ahead = memoryview(b""), end
    if block_size > MAX_BYTES and offset + end <= size:
        lookahead.skip(end)
        is_complete, ahead = lookahead.position == offset + end, 0
    else:
        block = lookahead.view(block_size, header_size) if offset + end <= size else block
        is_complete = len(block) == block_size
    if is_complete and lookahead.match(_RECORD_END, arc.MAX_LINE, ahead):
        lookahead.skip(ahead)
        while newlines := lookahead.match(_NEWLINES, 64):
            lookahead.skip(len(newlines[0]))
        return Frame(Origin(offset, lookahead.position - offset), header, block, block_size)
    seek_record(lookahead, 1 if ahead else 0)
    problem = "no record follows it" if is_complete else "the file ends before it"
    error = f"Content-Length is {block_size} bytes, but {problem}"
    return Frame(Origin(offset, lookahead.position - offset), error=error)

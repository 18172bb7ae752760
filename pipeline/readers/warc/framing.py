"""Where the records of a WARC or ARC begin and end, in sound content and in damaged.

Each record's header announces the length of the block after it. The length is believed if another record,
or the end of the content, follows the block; if not, the record is damaged, and reading goes on at the next
begin of a header.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.readers.lookahead import FAR, Window
from pipeline.readers.record import MAX_BYTES, Origin
from pipeline.readers.warc import arc
from pipeline.readers.warc.header import Header, groups, lines

MAX_HEADER = 1 << 16
"""Longest WARC header in bytes."""

_WARC = rb"WARC/\d+\.\d+[ \t]*\r?\n"
RECORD = re.compile(_WARC + rb"[\w-]+[ \t]*:|" + arc.LINE)
"""What a record begins with."""
_WARC_RECORD = re.compile(_WARC + rb"[\w-]+[ \t]*:")
_BREAK_AND_ARC_RECORD = re.compile(rb"\n" + arc.LINE)
_NAMES = (b"warc-type", b"warc-target-uri", b"warc-date", b"content-type", b"content-length")
_HEAD = re.compile(_WARC + lines(1, *_NAMES) + rb"\r?\n")
_ARC_LINE = re.compile(arc.LINE)
_FOLLOWS = re.compile(rb"\r\n\r\n|[\r\n]*(?:WARC/|\Z)|[\r\n]+" + arc.LINE)
_NEWLINES = re.compile(rb"[\r\n]+")


class Frame(NamedTuple):
    """One record as it lies in the file, or why there is none."""

    origin: Origin
    header: Header = Header()
    block: memoryview = memoryview(b"")
    """Empty if it is over ``MAX_BYTES``."""
    block_length: int = 0
    error: str = ""


def plain_frames(window: Window, start: int = 0, stop: int = FAR, size: int = FAR) -> Iterator[Frame]:
    """The records that begin in ``start`` ≤ byte < ``stop`` of uncompressed content.

    The window begins at byte ``start`` or, if that is not the first, one before; ``size`` is the content's,
    where it is known.
    """
    if start and not _to_record(window, 1, stop - window.position):
        return
    while window.position < stop and window.peek(1):
        header, begin = _header(window)
        length = header.length.strip()
        if length.isdigit() and len(length) < 16:
            yield _frame(window, header, begin, int(length), size)
        else:
            yield _no_header(window)


def only_record(content: bytes, origin: Origin) -> Frame | None:
    """The record that ``content`` is, no more and no less; None if it is not."""
    head = _HEAD.match(content)
    if not head:
        return None
    header, begin = _warc_header(head), head.end()
    length = len(content) - begin - 4
    if header.length.strip() != b"%d" % length or content[-4:] != b"\r\n\r\n" or length > MAX_BYTES:
        return None
    return Frame(origin, header, memoryview(content)[begin:-4], length)


def _header(window: Window) -> tuple[Header, int]:
    """The header at the window's position and its length; an empty one where there is none."""
    if head := window.match(_HEAD, MAX_HEADER):
        return _warc_header(head), len(head[0])
    if line := window.match(_ARC_LINE, MAX_HEADER):
        return arc.header(line, window.peek(5, len(line[0]))), len(line[0])
    return Header(), 0


def _warc_header(head: re.Match[bytes]) -> Header:
    kind, url, date, media, length, _ = groups(head)
    return Header(kind, url, date, media, length)


def _no_header(window: Window) -> Frame:
    begins, offset = window.peek(20), window.position
    _to_record(window, 1)
    error = f"begins with {begins!r}: not a WARC header with a Content-Length"
    return Frame(Origin(offset, window.position - offset), error=error)


def _frame(window: Window, header: Header, begin: int, block: int, size: int) -> Frame:
    """The record at the window's position, by its header's and block's length; the window moves past it."""
    offset, end = window.position, begin + block
    view, ahead = memoryview(b""), end
    if block > MAX_BYTES and offset + end <= size:
        window.skip(end)
        whole, ahead = window.position == offset + end, 0
    else:
        view = window.view(block, begin) if offset + end <= size else view
        whole = len(view) == block
    if whole and window.match(_FOLLOWS, arc.MAX_LINE, ahead):
        window.skip(ahead)
        while newlines := window.match(_NEWLINES, 64):
            window.skip(len(newlines[0]))
        return Frame(Origin(offset, window.position - offset), header, view, block)
    _to_record(window, 1 if ahead else 0)
    found = "no record follows it" if whole else "the file ends before it"
    error = f"Content-Length is {block} bytes, but {found}"
    return Frame(Origin(offset, window.position - offset), error=error)


def _to_record(window: Window, offset: int, limit: int = FAR) -> bool:
    """Move to the next record in ``offset`` ≤ distance < ``limit``, or to the limit; whether there is one."""

    def find(offset: int, limit: int) -> int | None:
        found = window.search(_WARC_RECORD, offset, limit)
        line_break = window.search(
            _BREAK_AND_ARC_RECORD, max(0, offset - 1), (limit if found is None else found) - 1
        )
        return found if line_break is None else line_break + 1

    return window.advance(find, offset, limit)

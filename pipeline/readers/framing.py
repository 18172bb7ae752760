"""Where the records of a WARC or ARC begin and end, in sound content and in damaged.

Each record's header announces the length of the block after it. The length is believed if another record,
or the end of the content, follows the block; if not, the record is damaged, and reading goes on at the next
begin of a header.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pipeline.readers import arc
from pipeline.readers.record import MAX_BYTES, Origin
from pipeline.readers.window import FAR, Window

MAX_HEADER = 1 << 16
"""Longest WARC header in bytes."""

_WARC = rb"WARC/\d+\.\d+[ \t]*\r?\n"
RECORD = re.compile(_WARC + rb"[\w-]+[ \t]*:|" + arc.LINE)
"""What a record begins with."""
_WARC_RECORD = re.compile(_WARC + rb"[\w-]+[ \t]*:")
_BREAK_AND_ARC_RECORD = re.compile(rb"\n" + arc.LINE)
_HEAD = re.compile(_WARC + rb"(?:[^\r\n][^\n]*\n)*\r?\n|" + arc.LINE)
_FOLD = re.compile(rb"\r?\n[ \t]+(?=\S)")
_FOLLOWS = re.compile(rb"\r\n\r\n|[\r\n]*(?:WARC/|\Z)|[\r\n]+" + arc.LINE)
_NEWLINES = re.compile(rb"[\r\n]+")


class Frame(NamedTuple):
    """One record as it lies in the file, or why there is none."""

    origin: Origin
    fields: Mapping[bytes, bytes] = {}
    """Of the WARC header, with names in lower case."""
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
        head = window.match(_HEAD, MAX_HEADER)
        fields = _fields(head, window) if head else {}
        length = fields.get(b"content-length", b"")
        if head and length.isdigit() and len(length) < 16:
            yield _frame(window, fields, len(head[0]), int(length), size)
        else:
            yield _no_header(window)


def only_record(content: bytes, origin: Origin) -> Frame | None:
    """The record that ``content`` is, no more and no less; None if it is not."""
    head = _HEAD.match(content)
    if not head or head["url"]:
        return None
    fields, begin = header_fields(head[0]), head.end()
    length = len(content) - begin - 4
    if fields.get(b"content-length") != b"%d" % length or content[-4:] != b"\r\n\r\n" or length > MAX_BYTES:
        return None
    return Frame(origin, fields, memoryview(content)[begin:-4], length)


def _fields(head: re.Match[bytes], window: Window) -> Mapping[bytes, bytes]:
    if head["url"]:
        return arc.fields(head, window.peek(5, len(head[0])))
    return header_fields(head[0])


def header_fields(head: bytes) -> dict[bytes, bytes]:
    """The fields of a header as WARC and HTTP write it, names in lower case; of several, the first.

    Lines may be folded and end without carriage returns; those that are no fields are passed over.
    """
    if b"\n " in head or b"\n\t" in head:
        head = _FOLD.sub(b" ", head)
    fields: dict[bytes, bytes] = {}
    for line in head.split(b"\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return fields


def _no_header(window: Window) -> Frame:
    begins, offset = window.peek(20), window.position
    _to_record(window, 1)
    error = f"begins with {begins!r}: not a WARC header with a Content-Length"
    return Frame(Origin(offset, window.position - offset), error=error)


def _frame(window: Window, fields: Mapping[bytes, bytes], header: int, block: int, size: int) -> Frame:
    """The record at the window's position, by its header's and block's length; the window moves past it."""
    offset, end = window.position, header + block
    view, ahead = memoryview(b""), end
    if block > MAX_BYTES and offset + end <= size:
        window.skip(end)
        whole, ahead = window.position == offset + end, 0
    else:
        view = window.view(block, header) if offset + end <= size else view
        whole = len(view) == block
    if whole and window.match(_FOLLOWS, arc.MAX_LINE, ahead):
        window.skip(ahead)
        while newlines := window.match(_NEWLINES, 64):
            window.skip(len(newlines[0]))
        return Frame(Origin(offset, window.position - offset), fields, view, block)
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

"""WARC and ARC files, compressed per record, as a whole or not: pages, plain text (WET) and what is neither.

A page is a response, resource or conversion of a status and media type that hold text. What a crawler cut
off (``WARC-Truncated``) is a page as far as it goes: where its coding breaks off, the text before is kept.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, Literal

from resiliparse.parse.encoding import detect_mime

from core import storage
from pipeline.ledger import Drop, Reason
from pipeline.readers.lookahead import window_of
from pipeline.readers.record import MAX_BYTES, Damaged, InputSplit, Item, Record, Skipped, date
from pipeline.readers.warc import arc, http
from pipeline.readers.warc.framing import RECORD, Frame, plain_frames
from pipeline.readers.warc.header import groups, lines
from pipeline.readers.warc.members import codec, holds_member, member_frames

_MEDIA: dict[str, Literal["html", "text"]] = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/plain": "text",
}
_CHARSET = re.compile(r"""(?i)\bcharset\s*=\s*["']?([^\s"';,]+)""")
_CARRIES_PAGE = (b"response", b"resource", b"conversion")
_HTTP_HEAD = re.compile(
    rb"HTTP/[\d.]+[ \t]+(\d{1,3})\b[^\n]*\n"
    + lines(2, b"content-type", b"transfer-encoding", b"content-encoding")
    + rb"(?:\r?\n)?"
)
_NO_PAGE, _REVISIT, _MEDIA_TYPE = map(Drop, (Reason.RECORD_TYPE, Reason.REVISIT, Reason.MEDIA_TYPE))


def fits(stream: BinaryIO) -> bool:
    """Whether a file holds records, by its first bytes or, if they are damaged, by a record near them."""
    if found := codec(stream):
        return holds_member(stream, found)
    stream.seek(0)
    begin = stream.read(arc.MAX_LINE)
    # Broken headers are a WARC's as well: each is told of.
    return begin[:4].upper() == b"WARC" or bool(RECORD.match(begin))


def splittable(stream: BinaryIO) -> bool:
    """Whether records can be reached from anywhere in the file: not if one gzip member holds them all."""
    found = codec(stream)
    return found is None or holds_member(stream, found, 1)


def read(split: InputSplit) -> Iterator[Item]:
    """One item for each record that begins in the split, in file order.

    Origins are bytes of the file as it is stored: of the record's gzip member or zstd frame, or of the plain
    record.
    """
    with storage.open_read(split.path) as stream:
        yield from items(stream, split.start, split.start + split.length)


def items(stream: BinaryIO, start: int, stop: int) -> Iterator[Item]:
    """One item for each record that begins in ``start`` ≤ byte < ``stop`` of an open file."""
    if found := codec(stream):
        frames = member_frames(stream, found, start, stop)
    else:
        size = stream.seek(0, 2)
        # A line break before the first record tells that it is one.
        frames = plain_frames(window_of(stream, max(0, start - 1), stop), start, stop, size)
    yield from map(item, frames)


def item(frame: Frame) -> Item:
    """A framed record as a page, a skip with its reason, or damage."""
    if frame.error:
        return Damaged(frame.origin, frame.error)
    drop = _drop_by_header(frame)
    try:
        return Skipped(frame.origin, _url(frame), drop) if drop else _page(frame)
    except http.TooLargeError:
        return Skipped(frame.origin, _url(frame), Drop(Reason.TOO_LARGE, None, MAX_BYTES))
    except http.BodyError as error:
        return Damaged(frame.origin, str(error))


def _drop_by_header(frame: Frame) -> Drop | None:
    """What the WARC header alone says against the record."""
    kind = frame.header.kind.strip().lower()
    if kind == b"revisit":
        return _REVISIT
    if kind not in _CARRIES_PAGE:
        return _NO_PAGE
    if frame.block_length > MAX_BYTES:
        return Drop(Reason.TOO_LARGE, frame.block_length, MAX_BYTES)
    return None


def _page(frame: Frame) -> Item:
    """Raises BodyError for a body that cannot be decoded and TooLargeError for one that is too long."""
    content_type, transfer, content, payload = frame.header.media, b"", b"", frame.block
    if _is_http(frame):
        head = _HTTP_HEAD.match(payload)
        if not head:
            return Damaged(frame.origin, "HTTP response without a status line")
        status, content_type, transfer, content, _ = groups(head)
        if not 200 <= int(status) < 300:
            return Skipped(frame.origin, _url(frame), Drop(Reason.HTTP_STATUS, float(status)))
        payload = payload[head.end() :]
    described = content_type.decode("latin-1")
    declared = described.partition(";")[0].strip().lower()
    if declared and declared not in _MEDIA:
        return Skipped(frame.origin, _url(frame), _MEDIA_TYPE)
    body = http.decode(bytes(payload), _text(transfer), _text(content), MAX_BYTES)
    media = _MEDIA.get(declared or detect_mime(body[:1024]))
    if media is None:
        return Skipped(frame.origin, _url(frame), _MEDIA_TYPE)
    charset = _CHARSET.search(described)
    return Record(
        origin=frame.origin,
        url=_url(frame),
        title="",
        fetched_at=date(_text(frame.header.date)),
        license="",
        media=media,
        body=body,
        charset=charset.group(1) if charset else None,
    )


def _is_http(frame: Frame) -> bool:
    """By what the record says of its block or, where a response says nothing, by the block."""
    if frame.header.media.strip().lower().startswith(b"application/http"):
        return True
    return frame.header.kind.strip().lower() == b"response" and bytes(frame.block[:5]) == b"HTTP/"


def _url(frame: Frame) -> str:
    url = frame.header.url.decode(errors="replace")
    return url.strip().removeprefix("<").removesuffix(">")


def _text(value: bytes) -> str:
    return value.strip().decode("latin-1")

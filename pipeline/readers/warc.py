"""WARC files, gzipped per record, as a whole or not at all: pages, plain text (WET) and what is neither."""

import re
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO, Literal

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType
from resiliparse.parse.encoding import detect_mime

from pipeline import storage
from pipeline.ledger import Drop, Reason
from pipeline.readers import http
from pipeline.readers.framing import Frame, gzip_frames, is_chain, is_gzip, plain_frames
from pipeline.readers.record import MAX_BYTES, Damaged, Item, Record, Skipped, Split, date
from pipeline.readers.window import Window

_MEDIA: dict[str, Literal["html", "text"]] = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/plain": "text",
}
_CHARSET = re.compile(r"""(?i)\bcharset\s*=\s*["']?([^\s"';,]+)""")
_CARRIES_PAGE = (WarcRecordType.response, WarcRecordType.resource, WarcRecordType.conversion)


def splittable(stream: BinaryIO) -> bool:
    """Whether records can be reached from anywhere in the file: not in one gzip member that holds them all."""
    return not is_gzip(stream) or is_chain(stream)


def read(split: Split) -> Iterator[Item]:
    """One item for each record that begins in the split, in file order.

    Origins are bytes of the file as it is stored: of the record's gzip member, or of the plain record.
    """
    with storage.open_read(split.path) as stream:
        yield from items(stream, split.start, split.start + split.length)


def items(stream: BinaryIO, start: int, stop: int) -> Iterator[Item]:
    """One item for each record that begins in ``start`` ≤ byte < ``stop`` of an open WARC."""
    if is_gzip(stream):
        frames = gzip_frames(stream, start, stop)
    else:
        size = stream.seek(0, 2)
        stream.seek(start)
        frames = plain_frames(Window(stream.read, start), stop, size)
    yield from map(item, frames)


def item(frame: Frame) -> Item:
    """A framed record as a page, a skip with its reason, or damage."""
    if frame.error:
        return Damaged(frame.origin, frame.error)
    try:
        records = ArchiveIterator(BytesIO(frame.raw), parse_http=False, quirks_mode=True, stream_detect=False)
        return _item(frame, next(records))
    except (OSError, StopIteration, http.BodyError) as error:
        return Damaged(frame.origin, str(error) or "not a WARC record")


def _item(frame: Frame, record: WarcRecord) -> Item:
    """Raises OSError for an HTTP header that cannot be read and BodyError for a body that cannot."""
    url = (record.headers.get("WARC-Target-URI") or "").strip().removeprefix("<").removesuffix(">")
    content_type = record.headers.get("Content-Type") or ""
    reason, value, threshold = _decide_by_header(frame, record)
    body = b""
    if reason is None and record.is_http:
        record.parse_http(quirks_mode=True)
        status = record.http_headers.status_code
        content_type = record.http_headers.get("Content-Type") or ""
        if status is None:
            return Damaged(frame.origin, "HTTP response without a status line")
        if not 200 <= status < 300:
            reason, value = Reason.HTTP_STATUS, float(status)
    declared = content_type.partition(";")[0].strip().lower()
    if reason is None and declared and declared not in _MEDIA:
        reason = Reason.MEDIA_TYPE
    if reason is None:
        try:
            body = _body(record)
        except http.TooLargeError:
            reason, threshold = Reason.TOO_LARGE, MAX_BYTES
    media = _MEDIA.get(declared or detect_mime(body[:1024]))
    if reason or media is None:
        return Skipped(frame.origin, url, Drop(reason or Reason.MEDIA_TYPE, value, threshold))
    charset = _CHARSET.search(content_type)
    return Record(
        origin=frame.origin,
        url=url,
        title="",
        fetched_at=date(record.headers.get("WARC-Date")),
        license="",
        media=media,
        body=body,
        charset=charset.group(1) if charset else None,
    )


def _decide_by_header(frame: Frame, record: WarcRecord) -> tuple[Reason | None, float | None, float | None]:
    """What the WARC header alone says against the record: reason, value and threshold."""
    if record.record_type == WarcRecordType.revisit:
        return Reason.REVISIT, None, None
    if record.record_type not in _CARRIES_PAGE:
        return Reason.RECORD_TYPE, None, None
    if frame.block_length > MAX_BYTES:
        return Reason.TOO_LARGE, frame.block_length, MAX_BYTES
    return None, None, None


def _body(record: WarcRecord) -> bytes:
    """The payload with its HTTP codings undone."""
    body: bytes = record.reader.read()
    if not record.is_http:
        return body
    transfer = record.http_headers.get("Transfer-Encoding") or ""
    content = record.http_headers.get("Content-Encoding") or ""
    return http.decode(body, transfer, content, MAX_BYTES) if transfer or content else body

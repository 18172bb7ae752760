"""Reader of WARC and ARC files, including extracted plain text (WET).

A page is a response, resource or conversion with a successful status and a textual media type. A page that
the crawler truncated (``WARC-Truncated``) is kept up to where it breaks off.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from core import storage
from pipeline.ledger import Drop, Reason
from pipeline.readers.compressed import HEAD_BYTES, is_compressed
from pipeline.readers.dates import parse_date
from pipeline.readers.lookahead import open_range
from pipeline.readers.record import MAX_BYTES, Damaged, InputSplit, Item, Record, Skipped
from pipeline.readers.warc import http
from pipeline.readers.warc.framing import Frame, plain_frames
from pipeline.readers.warc.header import unfold
from pipeline.readers.warc.media import SAMPLE_BYTES, ContentType, detect_media, parse_content_type
from pipeline.readers.warc.members import contains_member, detect_codec, member_frames
from pipeline.readers.warc.streams import contains_record, stream_frames

_PAGE_TYPES = (b"response", b"resource", b"conversion")
# The header of a damaged response may lack the empty line after it.
_HTTP_HEADER = re.compile(
    rb"(?i:HTTP(?:/[\d.]+)?|ICY)[ \t]+(\d{1,3})\b[^\n]*\n((?:[^\r\n<][^\n]*\n)*+)(?:\r?\n)?"
)
_FIELD = re.compile(rb"\n(?i:(content-(?:type|encoding)|transfer-encoding))[^\S\n]*:([^\n]*)")
_CONTENT_TYPE = re.compile(rb"(?im)^content-type[^\S\n]*:")
_RECORD_TYPE, _REVISIT, _MEDIA_TYPE = map(Drop, (Reason.RECORD_TYPE, Reason.REVISIT, Reason.MEDIA_TYPE))


def is_warc(stream: BinaryIO) -> bool:
    """True if the file starts with a record, or with damage that a record follows."""
    if contains_record(stream) or ((codec := detect_codec(stream)) and contains_member(stream, codec)):
        return True
    stream.seek(0)
    # A file with broken WARC headers is a WARC too: reading it reports each of them.
    return stream.read(4).upper() == b"WARC"


def is_splittable(stream: BinaryIO) -> bool:
    """True if any byte range can be read: the records are separate gzip members or not compressed."""
    if codec := detect_codec(stream):
        return contains_member(stream, codec, 1)
    return not _is_compressed(stream)


def read(split: InputSplit) -> Iterator[Item]:
    """Yield one item for each record that begins in the split, in file order.

    An origin is the byte range in the stored file of the record's gzip member or zstd frame, or of the
    uncompressed record. In a file that is compressed as a whole, it is that in the decompressed content.
    """
    with storage.open_read(split.path) as stream:
        yield from items(stream, split.start, split.start + split.length)


def items(stream: BinaryIO, start: int, stop: int) -> Iterator[Item]:
    """Yield one item for each record that begins in ``start`` ≤ byte < ``stop`` of an open file."""
    if codec := detect_codec(stream):
        frames = member_frames(stream, codec, start, stop)
    elif _is_compressed(stream):
        frames = stream_frames(stream)
    else:
        size = stream.seek(0, 2)
        # Begin one byte earlier: an ARC record is recognised by the newline before it.
        frames = plain_frames(open_range(stream, max(0, start - 1), stop), start, stop, size)
    yield from map(item, frames)


def _is_compressed(stream: BinaryIO) -> bool:
    stream.seek(0)
    return is_compressed(stream.read(HEAD_BYTES))


def item(frame: Frame) -> Item:
    """Convert a framed record to a page, a skip with its reason, or damage."""
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
    """Return the reason to skip the record that its WARC header gives, if any."""
    record_type = frame.header.record_type.strip().lower()
    if record_type == b"revisit":
        return _REVISIT
    if record_type not in _PAGE_TYPES:
        return _RECORD_TYPE
    if frame.block_length > MAX_BYTES:
        return Drop(Reason.TOO_LARGE, frame.block_length, MAX_BYTES)
    return None


def _page(frame: Frame) -> Item:
    """Convert a record to a page, unless its HTTP header shows that it is not one.

    Raises BodyError for a body that cannot be decoded and TooLargeError for one that is too long.
    """
    fields, payload = {b"content-type": _text(frame.header.content_type)}, frame.block
    if _is_http(frame):
        head = _http_header(payload)
        if not head and detect_media(ContentType(), bytes(payload[:SAMPLE_BYTES])) != "html":
            return Damaged(frame.origin, "HTTP response without a status line")
        if head and not 200 <= int(head[1]) < 300:
            return Skipped(frame.origin, _url(frame), Drop(Reason.HTTP_STATUS, float(head[1])))
        fields = _fields(head[2] if head else b"")
        payload = payload[head.end() if head else 0 :]
    declared = parse_content_type(fields.get(b"content-type", ""))
    if declared.kind == "other":
        return Skipped(frame.origin, _url(frame), _MEDIA_TYPE)
    transfer, content = fields.get(b"transfer-encoding", ""), fields.get(b"content-encoding", "")
    body = http.decode(bytes(payload), transfer, content, MAX_BYTES)
    media = detect_media(declared, body)
    if media is None:
        return Skipped(frame.origin, _url(frame), _MEDIA_TYPE)
    return Record(
        origin=frame.origin,
        url=_url(frame),
        title="",
        fetched_at=parse_date(_text(frame.header.date)),
        license="",
        media=media,
        body=body,
        charset=declared.charset,
    )


def _http_header(block: memoryview) -> re.Match[bytes] | None:
    """Match the header of the response, after those of interim responses and of proxies."""
    head = _HTTP_HEADER.match(block)
    while head and (following := _HTTP_HEADER.match(block, head.end())):
        if head[1][0] != ord("1") and _CONTENT_TYPE.search(head[2]):
            break
        head = following
    return head


def _fields(header: bytes) -> dict[bytes, str]:
    """Return the relevant fields by their lower-case names, the values of repeated ones joined by commas."""
    fields: dict[bytes, str] = {}
    for field_name, value in _FIELD.findall(b"\n" + unfold(header)):
        name, text = field_name.lower(), _text(value)
        fields[name] = f"{fields[name]},{text}" if name in fields else text
    return fields


def _is_http(frame: Frame) -> bool:
    """True if the block is HTTP, by its declared type or, in a response record, by its first bytes."""
    if frame.header.content_type.strip().lower().startswith(b"application/http"):
        return True
    return (
        frame.header.record_type.strip().lower() == b"response" and bytes(frame.block[:5]).upper() == b"HTTP/"
    )


def _url(frame: Frame) -> str:
    url = frame.header.url.decode(errors="replace")
    return url.strip().removeprefix("<").removesuffix(">")


def _text(value: bytes) -> str:
    return value.strip().decode("latin-1")

"""ARC 1, the predecessor of WARC: each record is a header line and the server's response.

The line has five fields in version 1 of the format and ten in version 2. The first is the URL, which may
contain spaces, the last the length of the response. The line is converted to the header of a WARC record.
"""

import re

from pipeline.readers.warc.header import Header

MAX_LINE = 1 << 12
"""Longest header line in bytes."""

LINE = (
    rb"(?P<url>[A-Za-z][A-Za-z0-9+.-]{1,15}:[^\r\n]{1,3500}?) (?P<ip>\S{1,64}) (?P<date>\d{8,17}) "
    # The media type may contain spaces or be missing.
    rb"(?P<type>[^\r\n]{0,100}?)(?: \d{3} \S{1,99} \S{1,99} \d{1,15} \S{1,99})? ?(?P<length>\d{1,15}) ?\r?\n"
)
"""Pattern of a header line."""

_UNKNOWN_TYPES = frozenset({b"", b"no-type", b"unk", b"unknown"})


def to_warc_header(line: re.Match[bytes], block: bytes) -> Header:
    """Convert a match of ``LINE`` to a WARC header.

    ``block`` holds the first bytes after the line, which show whether the response is HTTP.
    """
    url, length, date = line["url"], line["length"], line["date"][:14]
    if url.startswith(b"filedesc:"):
        return Header(b"warcinfo", url, date, b"", length)
    if block.startswith(b"HTTP/"):
        return Header(b"response", url, date, b"application/http", length)
    content_type = b"" if line["type"].strip().lower() in _UNKNOWN_TYPES else line["type"]
    return Header(b"resource", url, date, content_type, length)

"""ARC 1, the format before WARC: each record is one line about it, then what the server sent.

The line has five fields in version 1 of its layout and ten in version 2; the first is the address, which may
hold spaces, the last the length of what follows. Here such a line becomes the header of a WARC record.
"""

import re

from pipeline.readers.warc.header import Header

MAX_LINE = 1 << 12
"""Longest line about a record, in bytes."""

LINE = (
    rb"(?P<url>[A-Za-z][A-Za-z0-9+.-]{1,15}:[^\r\n]{1,3500}?) (?P<ip>\S{1,64}) (?P<date>\d{14}) "
    # The media type may hold spaces, or be missing.
    rb"(?P<type>[^\r\n]{0,100}?)(?: \d{3} \S{1,99} \S{1,99} \d{1,15} \S{1,99})? ?(?P<length>\d{1,15}) ?\r?\n"
)
"""Pattern of the line."""

_UNTYPED = frozenset({b"", b"no-type", b"unk", b"unknown"})


def header(line: re.Match[bytes], begins: bytes) -> Header:
    """The WARC header that says what a line (a match of ``LINE``) says.

    ``begins``: the first bytes after the line, which tell whether the server spoke HTTP.
    """
    url, length, at = line["url"], line["length"], line["date"].decode()
    date = f"{at[:4]}-{at[4:6]}-{at[6:8]}T{at[8:10]}:{at[10:12]}:{at[12:]}Z".encode()
    if url.startswith(b"filedesc:"):
        return Header(b"warcinfo", url, date, b"", length)
    if begins.startswith(b"HTTP/"):
        return Header(b"response", url, date, b"application/http", length)
    media = b"" if line["type"].strip().lower() in _UNTYPED else line["type"]
    return Header(b"resource", url, date, media, length)

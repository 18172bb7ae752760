"""ARC 1, the format before WARC: each record is one line about it, then what the server sent.

The line has five fields in version 1 of its layout and ten in version 2; the first is the address, which may
hold spaces, the last the length of what follows. Here such a line becomes the header fields of a WARC record.
"""

import re
from collections.abc import Mapping

MAX_LINE = 1 << 12
"""Longest line about a record, in bytes."""

LINE = (
    rb"(?P<url>[A-Za-z][A-Za-z0-9+.-]{1,15}:[^\r\n]{1,3500}?) (?P<ip>\S{1,64}) (?P<date>\d{14}) "
    # The media type may hold spaces, or be missing.
    rb"(?P<type>[^\r\n]{0,100}?)(?: \d{3} \S{1,99} \S{1,99} \d{1,15} \S{1,99})? ?(?P<length>\d{1,15}) ?\r?\n"
)
"""Pattern of the line."""

_UNTYPED = frozenset({b"", b"no-type", b"unk", b"unknown"})


def fields(line: re.Match[bytes], begins: bytes) -> Mapping[bytes, bytes]:
    """The WARC header fields, names in lower case, that say what a line (a match of ``LINE``) says.

    ``begins``: the first bytes after the line, which tell whether the server spoke HTTP.
    """
    date = line["date"].decode()
    made = {
        b"content-length": line["length"],
        b"warc-target-uri": line["url"],
        b"warc-date": f"{date[:4]}-{date[4:6]}-{date[6:8]}T{date[8:10]}:{date[10:12]}:{date[12:]}Z".encode(),
    }
    if line["url"].startswith(b"filedesc:"):
        return made | {b"warc-type": b"warcinfo"}
    if begins.startswith(b"HTTP/"):
        return made | {b"warc-type": b"response", b"content-type": b"application/http"}
    media = b"" if line["type"].strip().lower() in _UNTYPED else line["type"]
    return made | {b"warc-type": b"resource", b"content-type": media}

"""WARC and HTTP headers: the values of selected fields, extracted by one regular expression match.

Field names are case-insensitive; of several fields with one name, the first counts. Lines may be folded and
may end without a carriage return; lines that are not fields are ignored.
"""

import re
from typing import NamedTuple

_FOLD = re.compile(rb"\r?\n[ \t]+(?=\S)")


class Header(NamedTuple):
    """The relevant fields of a WARC header, with surrounding whitespace."""

    record_type: bytes = b""
    url: bytes = b""
    date: bytes = b""
    content_type: bytes = b""
    length: bytes = b""


def fields_pattern(first: int, *names: bytes) -> bytes:
    """Return a pattern for the lines of a header, in which group ``first`` is the value of the first name.

    The values of the other names are the groups after it. One more group, ``folded``, is set if a line may
    continue on the next one.
    """
    # An alternative that starts with ``(?(n)(?!)|`` fails once group ``n`` is set.
    fields = [
        rb"(?(%d)(?!)|(?i:%s)[^\S\n]*:([^\n]*)\n)" % (group, name) for group, name in enumerate(names, first)
    ]
    return rb"(?:%s|[^ \t\r\n][^\n]*\n|(?P<folded>[ \t])[^\n]*\n)*+" % b"|".join(fields)


def field_values(head: re.Match[bytes]) -> tuple[bytes, ...]:
    """Return the groups of a match of a ``fields_pattern``; those that are not set are empty."""
    values = head.groups(b"")
    return (head.re.match(unfold(head[0])) or head).groups(b"") if values[-1] else values


def unfold(header: bytes) -> bytes:
    """Join the lines of each field that is continued on the next line."""
    return _FOLD.sub(b" ", header) if b"\n " in header or b"\n\t" in header else header

"""Headers as WARC and HTTP write them: the values of the fields that count, found in one match.

Names may be in any case; of several fields of one name, the first counts. Lines may be folded and end without
carriage returns; those that are no fields are passed over.
"""

import re
from typing import NamedTuple

_FOLD = re.compile(rb"\r?\n[ \t]+(?=\S)")


class Header(NamedTuple):
    """The fields of a WARC header that count, as they are written: with blanks around them."""

    kind: bytes = b""
    url: bytes = b""
    date: bytes = b""
    media: bytes = b""
    length: bytes = b""


def lines(first: int, *names: bytes) -> bytes:
    """Pattern of the lines of a header: group ``first`` is the value of the first name, and so on.

    One more group, ``folded``, is there if a line may go on in the next.
    """
    # What begins by ``(?(n)(?!)|`` fails once group ``n`` was found.
    fields = [
        rb"(?(%d)(?!)|(?i:%s)[^\S\n]*:([^\n]*)\n)" % (group, name) for group, name in enumerate(names, first)
    ]
    return rb"(?:%s|[^ \t\r\n][^\n]*\n|(?P<folded>[ \t])[^\n]*\n)*+" % b"|".join(fields)


def groups(head: re.Match[bytes]) -> tuple[bytes, ...]:
    """What the groups of a pattern with ``lines`` found; those without a match are empty."""
    if head["folded"]:
        head = head.re.match(_FOLD.sub(b" ", head[0])) or head
    return head.groups(b"")

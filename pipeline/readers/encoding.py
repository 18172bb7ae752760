"""Recognition and conversion of UTF-16 and UTF-32 in formats whose first character is ASCII."""

import codecs
from collections.abc import Iterator
from itertools import chain

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ZEROS = (
    ((False, True, True, True), "utf-32-le"),
    ((True, True, True, False), "utf-32-be"),
    ((False, True, False, True), "utf-16-le"),
    ((True, False, True, False), "utf-16-be"),
)


def wide_encoding(head: bytes) -> str | None:
    """Return the encoding if it has zero bytes in ASCII, by the first four bytes of content, or None."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    zeros = tuple(byte == 0 for byte in head[:4])
    return next((encoding for pattern, encoding in _ZEROS if pattern == zeros), None)


def to_utf8(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Convert content that is in UTF-16 or UTF-32 to UTF-8. Other content is passed through."""
    first = next(blocks, b"")
    encoding = wide_encoding(first)
    if encoding is None:
        yield first
        yield from blocks
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for block in chain([first], blocks):
        yield decoder.decode(block).encode()
    yield decoder.decode(b"", final=True).encode()

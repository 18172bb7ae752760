"""JSON, plain or compressed: an object with a text per line, or objects in an array or on several lines."""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import BinaryIO

from core import config, storage
from pipeline.readers.compressed import CHUNK, BrokenStreamError, blocks, is_compressed
from pipeline.readers.encoding import to_utf8, wide_encoding
from pipeline.readers.lines import lines, parse_object, skip_line
from pipeline.readers.lookahead import UNBOUNDED, LookaheadStream
from pipeline.readers.record import Damaged, InputSplit, Item, Origin
from pipeline.readers.tables import columns
from pipeline.readers.tables.json_objects import objects

_HEAD_BYTES = 1 << 12
_NOT_LINES = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:\[|\{[ \t]*\r?\n)")
"""Start of an array, or of an object that continues on the next line."""


def read(split: InputSplit, wanted: config.ColumnsConfig, kept: Sequence[str] = ()) -> Iterator[Item]:
    """Yield one item for each non-blank line that begins in the split, or for each object, in file order.

    An origin is the byte range of the line or object in the content, decompressed and in UTF-8. A file that
    is not splittable must be one split.
    """
    mapping = columns.column_mapping(wanted, kept)
    with storage.open_read(split.path) as stream:
        stop, content, lookahead = _open(stream, split)
        in_lines = split.start or not _NOT_LINES.match(lookahead.peek(_HEAD_BYTES))
        for part in (lines if in_lines else objects)(lookahead, stop):
            if not isinstance(part, bytes):
                yield part
                continue
            origin = Origin(lookahead.position - len(part), len(part))
            if content.error and not lookahead.available and not part.endswith(b"\n"):
                yield Damaged(origin, content.error)
                return
            if part.strip():
                yield parse(part, mapping, origin)
        if content.error:
            yield Damaged(Origin(lookahead.position, 0), content.error)


def is_splittable(stream: BinaryIO) -> bool:
    """True if any byte range of the file can be read: it is not compressed and has an object per line."""
    head = stream.read(_HEAD_BYTES)
    return not (is_compressed(head) or wide_encoding(head) or _NOT_LINES.match(head))


def parse(line: bytes, mapping: columns.ColumnMapping, origin: Origin) -> Item:
    """Convert one line to a record, or to damage if it is not a JSON object with a text."""
    fields = parse_object(line, origin)
    return fields if isinstance(fields, Damaged) else columns.record(fields, mapping, origin)


def _open(stream: BinaryIO, split: InputSplit) -> "tuple[int, _Content, LookaheadStream]":
    """Return the end of the split, its content, and a view of that content at the first line of the split."""
    if not is_splittable(stream):
        stream.seek(0)
        content = _Content(to_utf8(blocks(stream)))
        return UNBOUNDED, content, LookaheadStream(content.read)
    # Begin one byte earlier: if that byte is a line feed, a line begins at the start of the split.
    start = max(0, split.start - 1)
    stream.seek(start)
    content = _Content(iter(partial(stream.read, CHUNK), b""))
    lookahead = LookaheadStream(content.read, start)
    if split.start:
        skip_line(lookahead)
    return split.start + split.length, content, lookahead


class _Content:
    """A stream of blocks, in UTF-8, that ends at the first damage, described by ``error``."""

    def __init__(self, content: Iterator[bytes]) -> None:
        self._content = content
        self.error = ""

    def read(self, _: int) -> bytes:
        """Return the next block, empty at the end."""
        try:
            return next(self._content, b"")
        except BrokenStreamError as error:
            self.error = str(error)
            return b""

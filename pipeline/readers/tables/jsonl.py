"""JSON, plain or compressed: an object with a text per line, or objects in an array or on several lines."""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import BinaryIO

from core import config, storage
from pipeline.readers.compressed import CHUNK, Content, is_compressed, sections
from pipeline.readers.encoding import to_utf8, wide_encoding
from pipeline.readers.lines import lines, parse_object, skip_line
from pipeline.readers.lookahead import UNBOUNDED, LookaheadStream
from pipeline.readers.record import Damaged, InputSplit, Item, Origin, Skipped
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
        in_lines = True
        for number, (content, lookahead, stop) in enumerate(_runs(stream, split)):
            if number == 0:
                in_lines = split.start > 0 or not _NOT_LINES.match(lookahead.peek(_HEAD_BYTES))
            parts = (lines if in_lines else objects)(lookahead, stop)
            yield from _items(parts, content, lookahead, mapping, after_damage=number > 0)


def _items(
    parts: Iterator[bytes | Skipped | Damaged],
    content: Content,
    lookahead: LookaheadStream,
    mapping: columns.ColumnMapping,
    *,
    after_damage: bool,
) -> Iterator[Item]:
    """Yield the items of a run, and the damage that ends it.

    What is left, after damage, of the first line or object belongs to that damage.
    """
    for part in parts:
        is_rest, after_damage = after_damage, False
        item: Item | None = part if not isinstance(part, bytes) else None
        if isinstance(part, bytes):
            origin = Origin(lookahead.position - len(part), len(part))
            if content.error and not lookahead.available and not part.endswith(b"\n"):
                yield Damaged(origin, content.error)
                return
            item = parse(part, mapping, origin) if part.strip() else None
        if item and not (is_rest and isinstance(item, Damaged)):
            yield item
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


def _runs(stream: BinaryIO, split: InputSplit) -> Iterator[tuple[Content, LookaheadStream, int]]:
    """Yield each run of undamaged content of the split, a view at its first line, and where it ends."""
    if not is_splittable(stream):
        position = 0
        for section in sections(stream):
            content = Content(to_utf8(section))
            lookahead = LookaheadStream(content.read, position)
            yield content, lookahead, UNBOUNDED
            position = lookahead.position + 1  # The damage before it has an offset of its own.
        return
    # Begin one byte earlier: if that byte is a line feed, a line begins at the start of the split.
    start = max(0, split.start - 1)
    stream.seek(start)
    content = Content(iter(partial(stream.read, CHUNK), b""))
    lookahead = LookaheadStream(content.read, start)
    if split.start:
        skip_line(lookahead)
    yield content, lookahead, split.start + split.length

"""JSON lines, plain or compressed: one object with a text per line."""

import json
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

from core import config, storage
from pipeline.readers.compressed import CHUNK, BrokenStreamError, blocks, detect_decompressor
from pipeline.readers.lines import lines, skip_line
from pipeline.readers.lookahead import UNBOUNDED, LookaheadStream
from pipeline.readers.record import Damaged, InputSplit, Item, Origin, Skipped
from pipeline.readers.tables import columns

_MAGIC_BYTES = 4


def read(split: InputSplit, wanted: config.ColumnsConfig) -> Iterator[Item]:
    """Yield one item for each non-blank line that begins in the split, in file order.

    An origin is the byte range of the line in the decompressed content. A compressed file must be one split.
    """
    mapping = columns.column_mapping(wanted)
    with storage.open_read(split.path) as stream:
        stop, content, lookahead = _open(stream, split)
        for line in lines(lookahead, stop):
            if isinstance(line, Skipped):
                yield line
                continue
            offset = lookahead.position - len(line)
            if content.error and not line.endswith(b"\n"):
                yield Damaged(Origin(offset, len(line)), content.error)
                return
            if line.strip():
                yield parse(line, mapping, Origin(offset, len(line)))
        if content.error:
            yield Damaged(Origin(lookahead.position, 0), content.error)


def is_splittable(stream: BinaryIO) -> bool:
    """True if the file is not compressed, so that any byte range of it can be read."""
    return detect_decompressor(stream.read(_MAGIC_BYTES)) is None


def parse(line: bytes, mapping: columns.ColumnMapping, origin: Origin) -> Item:
    """Convert one line to a record, or to damage if it is not a JSON object with a text."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Damaged(origin, f"not JSON: {error}")
    if not isinstance(fields, dict):
        return Damaged(origin, "not a JSON object")
    return columns.record(fields, mapping, origin)


def _open(stream: BinaryIO, split: InputSplit) -> "tuple[int, _Content, LookaheadStream]":
    """Return the end of the split, its content, and a view of that content at the first line of the split."""
    if not is_splittable(stream):
        stream.seek(0)
        content = _Content(blocks(stream))
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
    """A stream of decompressed blocks that ends at the first damage, described by ``error``."""

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

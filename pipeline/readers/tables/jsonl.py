"""JSON lines, plain or compressed: objects with a text in them, and what is known of it."""

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

from core import config, storage
from pipeline.ledger import Drop, Reason
from pipeline.readers.compressed import CHUNK, BrokenStreamError, blocks, decompressor_of
from pipeline.readers.lookahead import FAR, Window
from pipeline.readers.record import MAX_BYTES, Damaged, InputSplit, Item, Origin, Skipped
from pipeline.readers.tables import columns

_NEWLINE = re.compile(rb"\n")
_MAGIC_BYTES = 4


def read(split: InputSplit, wanted: config.ColumnsConfig) -> Iterator[Item]:
    """One item for each line that is not blank and begins in the split, in file order.

    An origin is the line's bytes in the file or, where that is compressed, in its content. A compressed file
    is one split.
    """
    names = columns.names(wanted)
    with storage.open_read(split.path) as stream:
        stop, content, window = _open(stream, split)
        for line in lines(window, stop):
            if isinstance(line, Skipped):
                yield line
                continue
            offset = window.position - len(line)
            if content.error and not line.endswith(b"\n"):
                yield Damaged(Origin(offset, len(line)), content.error)
                return
            if line.strip():
                yield parse(line, names, Origin(offset, len(line)))
        if content.error:
            yield Damaged(Origin(window.position, 0), content.error)


def lines(window: Window, stop: int = FAR) -> Iterator[bytes | Skipped]:
    """The lines that begin before ``stop``, each with its line feed; the window is behind each as it comes.

    One that is over ``MAX_BYTES`` is skipped.
    """
    while window.position < stop and window.peek(1):
        offset = window.position
        end = window.search(_NEWLINE, 0, MAX_BYTES)
        if end is None and not window.ended:
            window.skip(MAX_BYTES)
            _skip_line(window)
            origin = Origin(offset, window.position - offset)
            yield Skipped(origin, "", Drop(Reason.TOO_LARGE, origin.length, MAX_BYTES))
            continue
        line = window.peek(window.available if end is None else end + 1)
        window.skip(len(line))
        yield line


def splittable(stream: BinaryIO) -> bool:
    """Whether lines can be read from anywhere on: not if they are compressed."""
    return decompressor_of(stream.read(_MAGIC_BYTES)) is None


def parse(line: bytes, names: columns.Names, origin: Origin) -> Item:
    """One line as a record; damage if it is no JSON object with text in it."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Damaged(origin, f"not JSON: {error}")
    if not isinstance(fields, dict):
        return Damaged(origin, "not a JSON object")
    return columns.record(fields, names, origin)


def _open(stream: BinaryIO, split: InputSplit) -> "tuple[int, _Content, Window]":
    """The split's end, and its content as a stream and as a window that begins at the split's first line."""
    if not splittable(stream):
        stream.seek(0)
        content = _Content(blocks(stream))
        return FAR, content, Window(content.read)
    begin = max(0, split.start - 1)  # The line break before the split's first line may be the byte before it.
    stream.seek(begin)
    content = _Content(iter(partial(stream.read, CHUNK), b""))
    window = Window(content.read, begin)
    if split.start:
        _skip_line(window)
    return split.start + split.length, content, window


class _Content:
    """Decompressed blocks as a stream that ends where damage begins, and then says what it was."""

    def __init__(self, content: Iterator[bytes]) -> None:
        self._content = content
        self.error = ""

    def read(self, _: int) -> bytes:
        """The next block; none at the end."""
        try:
            return next(self._content, b"")
        except BrokenStreamError as error:
            self.error = str(error)
            return b""


def _skip_line(window: Window) -> None:
    while (found := window.search(_NEWLINE, 0, MAX_BYTES)) is None and window.peek(1):
        window.skip(MAX_BYTES)
    window.skip(0 if found is None else found + 1)

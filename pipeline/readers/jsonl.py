"""JSON lines, plain or compressed: objects with ``text`` and perhaps ``url``, ``title``, ``language``."""

import json
import re
from collections.abc import Iterator

from pipeline import storage
from pipeline.ledger import Drop, Reason
from pipeline.readers.compressed import BrokenStreamError, blocks
from pipeline.readers.record import MAX_BYTES, Damaged, Item, Origin, Record, Skipped, Split
from pipeline.readers.window import Window

_NEWLINE = re.compile(rb"\n")


def read(split: Split) -> Iterator[Item]:
    """One item for each line that is not blank, in file order.

    An origin is the line's bytes in the file or, where that is compressed, in its content.
    """
    with storage.open_read(split.path) as stream:
        content = _Content(blocks(stream))
        window = Window(content.read)
        while window.peek(1):
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
            if end is None and content.error:
                yield Damaged(Origin(offset, len(line)), content.error)
                return
            if line.strip():
                yield parse(line, Origin(offset, len(line)))
        if content.error:
            yield Damaged(Origin(window.position, 0), content.error)


def parse(line: bytes, origin: Origin) -> Record | Damaged:
    """One line as a record; damage if it is no JSON object with a ``text`` of type string."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Damaged(origin, f"not JSON: {error}")
    if not isinstance(fields, dict) or not isinstance(fields.get("text"), str):
        return Damaged(origin, 'not a JSON object with a "text" string')
    url, title, language = (
        value if isinstance(value := fields.get(key), str) else "" for key in ("url", "title", "language")
    )
    return Record(
        origin=origin,
        url=url,
        title=title,
        fetched_at=None,
        license="",
        media="text",
        body=fields["text"],
        language=language,
    )


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

"""Books: one plain-text or Markdown file each, possibly compressed, without Project Gutenberg's own words."""

import re
from collections.abc import Iterator

from resiliparse.parse.encoding import bytes_to_str, detect_encoding

from pipeline import storage
from pipeline.ledger import Drop, Reason
from pipeline.readers.compressed import BrokenStreamError, blocks
from pipeline.readers.record import MAX_BYTES, Damaged, Item, Origin, Record, Skipped, Split

_GUTENBERG_START = re.compile(
    r"^[ \t]*\*\*\*? ?START (?:OF|FOR) (?:THE|THIS) PROJECT GUTENBERG.*?\*\*\*[ \t]*$"
    r"|^[ \t]*\*END[ *]*THE SMALL PRINT[^\n]*$",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_GUTENBERG_END = re.compile(
    r"^[ \t]*\*\*\*? ?END (?:OF|FOR) (?:THE|THIS) PROJECT GUTENBERG"
    r"|^[ \t]*End of (?:the )?Project Gutenberg(?:'s|’s)? ",
    re.IGNORECASE | re.MULTILINE,
)
_TITLE_FIELD = re.compile(r"^(?:#+[ \t]*)?Title:[ \t]*(\S.*)$", re.MULTILINE)
_HEADING = re.compile(r"^#+[ \t]+(\S.*)$", re.MULTILINE)
_HEAD_CHARACTERS = 4096
"""Where a title is looked for."""
_LONGEST_TITLE = 120


def read(split: Split) -> Iterator[Item]:
    """The file as one record, decoded, with its title; its origin is the whole file."""
    origin = Origin(0, split.length)
    pieces: list[bytes] = []
    size = 0
    with storage.open_read(split.path) as stream:
        try:
            for block in blocks(stream):
                pieces.append(block)
                size += len(block)
                if size > MAX_BYTES:
                    yield Skipped(origin, "", Drop(Reason.TOO_LARGE, None, MAX_BYTES))
                    return
        except BrokenStreamError as error:
            yield Damaged(origin, str(error))
            return
    text = _decode(b"".join(pieces))
    book, header = without_gutenberg(text)
    yield Record(
        origin=origin,
        url="",
        title=title(header, book) or split.file_name.partition(".")[0].replace("_", " "),
        fetched_at=None,
        license="",
        media="text",
        body=book,
    )


def without_gutenberg(text: str) -> tuple[str, str]:
    """The book without Project Gutenberg's header, licence and small print; and the header, if any."""
    start = _GUTENBERG_START.search(text)
    begin = start.end() if start else 0
    end = _GUTENBERG_END.search(text, begin)
    return text[begin : end.start() if end else len(text)], text[:begin]


def title(header: str, book: str) -> str:
    """A book's title: its ``Title:`` field, its first Markdown heading, or a short first line."""
    head = book[:_HEAD_CHARACTERS]
    if field := _TITLE_FIELD.search(header) or _TITLE_FIELD.search(head):
        return field.group(1).strip()
    if heading := _HEADING.search(head):
        return heading.group(1).strip()
    first = next((line.strip() for line in head.splitlines() if line.strip()), "")
    return first if len(first) <= _LONGEST_TITLE else ""


def _decode(data: bytes) -> str:
    """Text by its byte order mark, else UTF-8 where valid, else by detection."""
    text: str = bytes_to_str(data, "utf-8" if _is_utf8(data) else detect_encoding(data) or "utf-8")
    return text.replace("\r\n", "\n")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True

"""Reader of books: one file each of plain text, Markdown or TEI XML, possibly compressed.

Removes Project Gutenberg's boilerplate and the metadata fields at the head of a file. Long books are split
into chapters.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from xml.parsers.expat import ExpatError

from core import storage
from pipeline import charset
from pipeline.languages import codes
from pipeline.ledger import Drop, Reason
from pipeline.readers.books import gutenberg, tei
from pipeline.readers.books.chapters import Chapter, split_chapters
from pipeline.readers.books.headings import Heading, find_headings, is_heading
from pipeline.readers.compressed import BrokenStreamError, blocks
from pipeline.readers.record import MAX_BYTES, Damaged, InputSplit, Item, Origin, Record, Skipped

_FIELD = re.compile(r"^(?:#+[ \t]*)?(Title|Author|Language):[ \t]*(\S.*)$", re.MULTILINE | re.IGNORECASE)
# A horizontal rule.
_RULE = r"-{3,}[ \t]*(?:\n|\Z)"
_FIELDS = re.compile(
    rf"\s*+(?:{_RULE})?(?:\s*+(?:#+[ \t]*)?[A-Z][\w ]{{2,20}}:[ \t]+\S.*(?:\n|\Z))++(?:\s*+{_RULE})?"
)
"""Metadata fields at the head of a file, in Markdown or between horizontal rules."""
_MARKDOWN_HEADING = re.compile(r"^#+[ \t]+(\S.*)$", re.MULTILINE)
_HEAD_CHARACTERS = 4096
"""Characters in which a title is searched for."""
_MAX_TITLE = 120


@dataclass(frozen=True, slots=True)
class Book:
    """Text of a book, and the metadata of its file."""

    text: str
    headings: list[Heading]
    title: str
    author: str
    language: str
    license: str
    source_offset: int
    """Start of the text in the file: in characters of the decoded file, for XML in bytes."""


def read(split: InputSplit) -> Iterator[Item]:
    """Yield the book as one record, or its chapters in order, titled with the author and title of the book.

    The origin of a whole book is the file. That of a chapter is in characters of the decoded content; for
    XML, its offset is the first byte of the division.
    """
    whole = Origin(0, split.length)
    content_blocks: list[bytes] = []
    size = 0
    with storage.open_read(split.path) as stream:
        try:
            for block in blocks(stream):
                content_blocks.append(block)
                size += len(block)
                if size > MAX_BYTES:
                    yield Skipped(whole, "", Drop(Reason.TOO_LARGE, None, MAX_BYTES))
                    return
        except BrokenStreamError as error:
            yield Damaged(whole, str(error))
            return
    content = b"".join(content_blocks)
    try:
        book = _parse_tei(content) if tei.is_tei(content) else parse_text(charset.decode(content))
    except ExpatError as error:
        yield Damaged(whole, f"not well-formed XML: {error}")
        return
    if not book.title:
        book = replace(book, title=split.file_name.partition(".")[0].replace("_", " "))
    chapters = split_chapters(book.text, book.headings, book.source_offset)
    for number, chapter in enumerate(chapters, 1):
        yield _record(book, chapter, number, len(chapters), whole)


def parse_text(content: str) -> Book:
    """Parse a book in plain text or Markdown."""
    content = content.replace("\r\n", "\n")
    start, end = gutenberg.bounds(content)
    if head := _FIELDS.match(content, start, end):
        start = head.end() if _FIELD.search(head[0]) else start
    header, text = content[:start], content[start:end]
    fields = {found[1].lower(): found[2].strip() for found in reversed(list(_FIELD.finditer(header)))}
    return Book(
        text=text,
        headings=find_headings(text, start),
        title=fields.get("title") or _title(text),
        author=fields.get("author", ""),
        language=codes.parse(fields.get("language", "")),
        license="",
        source_offset=start,
    )


def _parse_tei(content: bytes) -> Book:
    """Parse a book in TEI XML. Raises ExpatError if it is not well-formed."""
    document = tei.parse(content)
    return Book(
        text=document.text,
        headings=document.headings,
        title=document.title,
        author=document.author,
        language=codes.parse(document.language),
        license=document.license,
        source_offset=0,
    )


def _record(book: Book, chapter: Chapter, number: int, count: int, whole: Origin) -> Record:
    """Return a chapter as a record, titled ``Author: Title — Chapter [number/count]``.

    A book with a single chapter is titled by the title of the book only.
    """
    title = book.title
    if count > 1:
        author = f"{book.author}: " if book.author else ""
        heading = f" — {chapter.title}" if chapter.title else ""
        title = f"{author}{book.title}{heading} [{number}/{count}]"
    return Record(
        origin=Origin(chapter.source_offset, chapter.end - chapter.start) if count > 1 else whole,
        url="",
        title=title,
        fetched_at=None,
        license=book.license,
        media="text",
        body=book.text[chapter.start : chapter.end],
        language=book.language,
    )


def _title(text: str) -> str:
    """Return the first Markdown heading or first line as the title of a book without a title field."""
    head = text[:_HEAD_CHARACTERS]
    heading = _MARKDOWN_HEADING.search(head)
    first = next((line.strip() for line in head.splitlines() if line.strip()), "")
    title = heading[1].strip() if heading else first
    return title if len(title) <= _MAX_TITLE and not is_heading(title) else ""

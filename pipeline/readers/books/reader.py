"""Books: a file each of plain text, Markdown or TEI XML, possibly compressed, cut into chapters where long.

Project Gutenberg's own words and what the file says of title and author at its head are taken off.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from xml.parsers.expat import ExpatError

from core import storage
from pipeline import charset
from pipeline.ledger import Drop, Reason
from pipeline.readers.books import chapters, gutenberg, tei
from pipeline.readers.books.chapters import Chapter, Heading
from pipeline.readers.compressed import BrokenStreamError, blocks
from pipeline.readers.record import MAX_BYTES, Damaged, InputSplit, Item, Origin, Record, Skipped

_FIELD = re.compile(r"^(?:#+[ \t]*)?(Title|Author|Language):[ \t]*(\S.*)$", re.MULTILINE | re.IGNORECASE)
_RULE = r"-{3,}[ \t]*(?:\n|\Z)"
_HEAD = re.compile(
    rf"\s*+(?:{_RULE})?(?:\s*+(?:#+[ \t]*)?[A-Z][\w ]{{2,20}}:[ \t]+\S.*(?:\n|\Z))++(?:\s*+{_RULE})?"
)
"""Fields at the head of a file, in Markdown or between rules."""
_HEADING = re.compile(r"^#+[ \t]+(\S.*)$", re.MULTILINE)
_HEAD_CHARACTERS = 4096
"""Where a title is looked for."""
_LONGEST_TITLE = 120
_LANGUAGES: Mapping[str, str] = MappingProxyType(
    {
        "english": "en",
        "french": "fr",
        "german": "de",
        "finnish": "fi",
        "dutch": "nl",
        "italian": "it",
        "spanish": "es",
        "portuguese": "pt",
        "hungarian": "hu",
        "greek": "el",
        "swedish": "sv",
        "danish": "da",
        "norwegian": "no",
        "latin": "la",
        "esperanto": "eo",
        "polish": "pl",
        "czech": "cs",
        "russian": "ru",
        "catalan": "ca",
        "welsh": "cy",
        "chinese": "zh",
        "japanese": "ja",
    }
)


@dataclass(frozen=True, slots=True)
class Book:
    """What a file says, without what it says of itself."""

    text: str
    headings: list[Heading]
    title: str
    author: str
    language: str
    license: str
    origin: int
    """Where the text begins: a character of the decoded file; in XML, a byte."""


def read(split: InputSplit) -> Iterator[Item]:
    """The book, or its chapters in their order, each with title and author in its title.

    A book in one piece has the whole file as its origin; a chapter's is its first character in the decoded
    content, in XML its division's first byte.
    """
    whole = Origin(0, split.length)
    pieces: list[bytes] = []
    size = 0
    with storage.open_read(split.path) as stream:
        try:
            for block in blocks(stream):
                pieces.append(block)
                size += len(block)
                if size > MAX_BYTES:
                    yield Skipped(whole, "", Drop(Reason.TOO_LARGE, None, MAX_BYTES))
                    return
        except BrokenStreamError as error:
            yield Damaged(whole, str(error))
            return
    content = b"".join(pieces)
    try:
        book = _of_tei(content) if tei.is_tei(content) else of_text(charset.decode(content))
    except ExpatError as error:
        yield Damaged(whole, f"not well-formed XML: {error}")
        return
    if not book.title:
        book = replace(book, title=split.file_name.partition(".")[0].replace("_", " "))
    parts = chapters.cut(book.text, book.headings, book.origin)
    for place, chapter in enumerate(parts):
        yield _record(book, chapter, place, len(parts), whole)


def of_text(content: str) -> Book:
    """A book of plain text or Markdown."""
    content = content.replace("\r\n", "\n")
    begin, end = gutenberg.bounds(content)
    if head := _HEAD.match(content, begin, end):
        begin = head.end() if _FIELD.search(head[0]) else begin
    header, text = content[:begin], content[begin:end]
    fields = {found[1].lower(): found[2].strip() for found in reversed(list(_FIELD.finditer(header)))}
    return Book(
        text=text,
        headings=chapters.find_headings(text, begin),
        title=fields.get("title") or _title(text),
        author=fields.get("author", ""),
        language=_LANGUAGES.get(fields.get("language", "").lower(), ""),
        license="",
        origin=begin,
    )


def _of_tei(content: bytes) -> Book:
    """Raises ExpatError for what is not well-formed."""
    found = tei.parse(content)
    return Book(
        text=found.text,
        headings=found.headings,
        title=found.title,
        author=found.author,
        language=found.language.partition("-")[0],
        license=found.license,
        origin=0,
    )


def _record(book: Book, chapter: Chapter, place: int, count: int, whole: Origin) -> Record:
    """A chapter as ``Author: Title — Chapter [place/count]``; a book in one piece by its title only."""
    title = book.title
    if count > 1:
        author = f"{book.author}: " if book.author else ""
        heading = f" — {chapter.title}" if chapter.title else ""
        title = f"{author}{book.title}{heading} [{place + 1}/{count}]"
    return Record(
        origin=Origin(chapter.origin, chapter.end - chapter.begin) if count > 1 else whole,
        url="",
        title=title,
        fetched_at=None,
        license=book.license,
        media="text",
        body=book.text[chapter.begin : chapter.end],
        language=book.language,
    )


def _title(text: str) -> str:
    """A book's title where no field gives it: its first Markdown heading, or a short first line."""
    head = text[:_HEAD_CHARACTERS]
    heading = _HEADING.search(head)
    first = next((line.strip() for line in head.splitlines() if line.strip()), "")
    found = heading[1].strip() if heading else first
    return found if len(found) <= _LONGEST_TITLE and not chapters.is_heading(found) else ""

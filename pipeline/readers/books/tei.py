"""Parser of books in TEI XML (Text Encoding Initiative, P5 and P4): text, divisions and header.

Paragraphs, headings, lines of verse, speakers, list items and table rows are separate lines of the text.
Notes, title pages, running headers, page breaks and readings that the encoders corrected (sic, orig, abbr)
are excluded.
"""

import re
from dataclasses import dataclass, field, replace
from html.entities import html5
from xml.parsers import expat

from pipeline import charset
from pipeline.readers.books.headings import Heading

_IS_TEI = re.compile(rb"<(?:\w+:)?(?:TEI(?:\.2)?|teiCorpus|teiHeader)\b")
_HEAD_BYTES = 1 << 13
_DIVISIONS = frozenset(["div", *(f"div{depth}" for depth in range(8))])
_SECTIONS = ("text", "front", "body", "back", "group", "floatingText")
_BLOCKS = (
    "p",
    "ab",
    "head",
    "lg",
    "sp",
    "stage",
    "list",
    "castList",
    "table",
    "figure",
    "epigraph",
    "argument",
)
_DIVISION_PARTS = ("opener", "closer", "salute", "signed", "dateline", "trailer", "byline", "postscript")
_PARAGRAPHS = _DIVISIONS.union(_SECTIONS, _BLOCKS, _DIVISION_PARTS)
_LINES = frozenset(["l", "item", "row", "speaker", "castItem"])
_APPARATUS = ("teiHeader", "note", "noteGrp", "fw", "figDesc", "titlePage", "index", "formula", "gap")
_EXCLUDED = frozenset([*_APPARATUS, "del", "sic", "orig", "abbr"])
_MAX_DEPTH = 9
"""Divisions nested more deeply have the level of this depth."""
_CREATIVE_COMMONS = re.compile(
    r"creativecommons\.org/(?:licenses/([a-z-]+)/(\d\.\d)|publicdomain/(zero|mark))"
)
_EDITION = re.compile(r"\s*[:.,(\[-]\s*(?:ELTeC|TEI|electronic|digital)\b.*", re.IGNORECASE | re.DOTALL)
_EXCLUDED_ELEMENT = "(excluded)"
"""Replaces the name of an excluded element among the open ones. Not a valid XML name."""
_INVALID = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""Characters that XML forbids."""
_BARE_AMPERSAND = re.compile(r"&(?!#?\w+;)")
_YEARS = re.compile(r" \([^()]{0,40}\d{3}[^()]{0,40}\)$")


@dataclass(slots=True)
class Document:
    """Content of a TEI document."""

    text: str = ""
    headings: list[Heading] = field(default_factory=list)
    title: str = ""
    author: str = ""
    language: str = ""
    license: str = ""


def is_tei(content: bytes) -> bool:
    """True if the content is TEI, by its first bytes."""
    return bool(_IS_TEI.search(content[:_HEAD_BYTES].replace(b"\0", b"")))


def parse(content: bytes) -> Document:
    """Parse a document, if necessary after repair of its encoding, ampersands and control characters.

    Raises :class:`xml.parsers.expat.ExpatError` if it is not well-formed then either.
    """
    try:
        return _Parser().parse(content)
    except (expat.ExpatError, LookupError, ValueError):  # The latter two for encodings that expat lacks.
        text = _INVALID.sub("", charset.decode(content).lstrip())
        return _Parser("utf-8").parse(_BARE_AMPERSAND.sub("&amp;", text).encode())


class _Parser:
    """State of the parsing of one document."""

    def __init__(self, encoding: str | None = None) -> None:
        """``encoding`` takes precedence over the declared one."""
        self._document = Document()
        self._parts: list[str] = []
        self._length = 0
        self._line: list[str] = []
        self._open_elements: list[str] = []
        self._excluded_depth = 0
        self._newlines = 2
        self._in_title_statement = False
        self._field = ""
        self._divisions: list[int] = []
        self._header: dict[str, list[str]] = {"title": [], "author": []}
        self._expat = expat.ParserCreate(encoding)
        self._expat.buffer_text = True
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._characters
        # Resolve entities of an external DTD as HTML entities; the DTD is not fetched.
        self._expat.UseForeignDTD(True)
        self._expat.ExternalEntityRefHandler = lambda *_: 1
        self._expat.SkippedEntityHandler = lambda name, _: self._characters(html5.get(f"{name};", ""))

    def parse(self, content: bytes) -> Document:
        self._expat.Parse(content, True)
        self._end_line(2)
        document = self._document
        document.text = "".join(self._parts)
        document.title = _EDITION.sub("", _normalize_space(self._header["title"][:1]))
        document.author = " & ".join(
            _YEARS.sub("", _normalize_space([name])) for name in self._header["author"]
        )
        return document

    def _start(self, qualified: str, attributes: dict[str, str]) -> None:
        name = qualified.rpartition(":")[2]
        self._open_elements.append(name)
        if name in _EXCLUDED or (name in _DIVISIONS and attributes.get("type") == "notes"):
            self._excluded_depth += 1
            self._open_elements[-1] = _EXCLUDED_ELEMENT
        self._describe(name, attributes)
        if self._excluded_depth:
            return
        self._end_line(_newlines(name))
        if name == "lb" and attributes.get("break") != "no":
            self._line.append(" ")
        if name in _DIVISIONS:
            self._divisions.append(len(self._document.headings))
            level = (min(len(self._divisions), _MAX_DEPTH), 0)
            self._document.headings.append(Heading(self._length, level, "", self._expat.CurrentByteIndex))

    def _describe(self, name: str, attributes: dict[str, str]) -> None:
        """Collect metadata of the book from an element."""
        document = self._document
        self._in_title_statement = self._in_title_statement or name == "titleStmt"
        if self._in_title_statement and name in self._header:
            self._header[name].append("")
            self._field = name
        match name:
            case "TEI" | "TEI.2" | "text":
                document.language = document.language or attributes.get(
                    "xml:lang", attributes.get("lang", "")
                )
            case "language":
                document.language = document.language or attributes.get("ident", "")
            case "licence" | "license":
                document.license = document.license or _license_name(attributes.get("target", ""))

    def _end(self, _: str) -> None:
        name = self._open_elements.pop()
        self._in_title_statement = self._in_title_statement and name != "titleStmt"
        self._field = "" if name == self._field else self._field
        if name == _EXCLUDED_ELEMENT:
            self._excluded_depth -= 1
        if self._excluded_depth or name == _EXCLUDED_ELEMENT:
            return
        if name == "head" and self._divisions and self._open_elements[-1] in _DIVISIONS:
            self._name_division(_normalize_space(self._line))
        if name == "cell":
            self._line.append("\t")
        self._end_line(_newlines(name))
        if name in _DIVISIONS:
            self._divisions.pop()

    def _name_division(self, title: str) -> None:
        """Set the title of the innermost open division, or append a line to it."""
        index = self._divisions[-1]
        heading = self._document.headings[index]
        titles = [part.rstrip(".") for part in (heading.title, title) if part]
        self._document.headings[index] = replace(heading, title=". ".join(titles))

    def _characters(self, text: str) -> None:
        if self._field:
            self._header[self._field][-1] += text
        if not self._excluded_depth:
            self._line.append(text)

    def _end_line(self, newlines: int) -> None:
        """End the current line, if any, with at least ``newlines`` newlines."""
        if not newlines:
            return
        line = "\t".join(_normalize_space([cell]) for cell in "".join(self._line).split("\t") if cell.strip())
        self._line = []
        if line:
            self._add(line)
            self._newlines = 0
        if newlines > self._newlines:
            self._add("\n" * (newlines - self._newlines))
            self._newlines = newlines

    def _add(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)


def _newlines(element: str) -> int:
    """Return the number of newlines before and after an element."""
    return 2 if element in _PARAGRAPHS else 1 if element in _LINES else 0


def _normalize_space(parts: list[str]) -> str:
    """Join to one line with single spaces."""
    return " ".join("".join(parts).split())


def _license_name(url: str) -> str:
    """Return the short name of a Creative Commons licence by its URL; of other licences the URL."""
    found = _CREATIVE_COMMONS.search(url)
    if found is None:
        return url
    if found[3]:
        return "CC0-1.0" if found[3] == "zero" else "public domain"
    return f"CC-{found[1].upper()}-{found[2]}"

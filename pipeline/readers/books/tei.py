"""Books in TEI XML (Text Encoding Initiative, P5 and P4): their text, divisions and header.

Text keeps paragraphs, headings, lines of verse, speakers, list items and table rows on lines of their own.
Notes, title pages, running headers, page breaks and what the encoders corrected (sic, orig, abbr) are left
out.
"""

import re
from dataclasses import dataclass, field, replace
from html.entities import html5
from xml.parsers import expat

from pipeline.readers.books.chapters import Heading

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
_FORMULAS = ("opener", "closer", "salute", "signed", "dateline", "trailer", "byline", "postscript")
_PARAGRAPHS = _DIVISIONS.union(_SECTIONS, _BLOCKS, _FORMULAS)
_LINES = frozenset(["l", "item", "row", "speaker", "castItem"])
_APPARATUS = ("teiHeader", "note", "noteGrp", "fw", "figDesc", "titlePage", "index", "formula", "gap")
_LEFT_OUT = frozenset([*_APPARATUS, "del", "sic", "orig", "abbr"])
_DEEPEST = 9
"""Divisions are told apart down to this depth."""
_CREATIVE_COMMONS = re.compile(
    r"creativecommons\.org/(?:licenses/([a-z-]+)/(\d\.\d)|publicdomain/(zero|mark))"
)
_EDITION = re.compile(r"\s*[:.,(\[-]\s*(?:ELTeC|TEI|electronic|digital)\b.*", re.IGNORECASE | re.DOTALL)
_YEARS = re.compile(r" \([^()]{0,40}\d{3}[^()]{0,40}\)$")


@dataclass(slots=True)
class Tei:
    """A TEI document's content."""

    text: str = ""
    headings: list[Heading] = field(default_factory=list)
    title: str = ""
    author: str = ""
    language: str = ""
    license: str = ""


def is_tei(content: bytes) -> bool:
    """Whether content is TEI, by its first bytes."""
    return bool(_IS_TEI.search(content[:_HEAD_BYTES].replace(b"\0", b"")))


def parse(content: bytes) -> Tei:
    """Raises :class:`xml.parsers.expat.ExpatError` for what is not well-formed."""
    return _Parser().parse(content)


class _Parser:
    """A document while it is parsed."""

    def __init__(self) -> None:
        self._tei = Tei()
        self._pieces: list[str] = []
        self._length = 0
        self._line: list[str] = []
        self._open: list[str] = []
        self._left_out = 0
        self._newlines = 2
        self._names_book = False
        self._field = ""
        self._divisions: list[int] = []
        self._header: dict[str, list[str]] = {"title": [], "author": []}
        self._expat = expat.ParserCreate()
        self._expat.buffer_text = True
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._characters
        # Entities that an external DTD declares are named like HTML's; none is fetched.
        self._expat.UseForeignDTD(True)
        self._expat.ExternalEntityRefHandler = lambda *_: 1
        self._expat.SkippedEntityHandler = lambda name, _: self._characters(html5.get(f"{name};", ""))

    def parse(self, content: bytes) -> Tei:
        self._expat.Parse(content, True)
        self._break(2)
        tei = self._tei
        tei.text = "".join(self._pieces)
        tei.title = _EDITION.sub("", _joined(self._header["title"][:1]))
        tei.author = " & ".join(_YEARS.sub("", _joined([name])) for name in self._header["author"])
        return tei

    def _start(self, qualified: str, attributes: dict[str, str]) -> None:
        name = qualified.rpartition(":")[2]
        self._open.append(name)
        if name in _LEFT_OUT or (name in _DIVISIONS and attributes.get("type") == "notes"):
            self._left_out += 1
            self._open[-1] = "left out"
        self._describe(name, attributes)
        if self._left_out:
            return
        self._break(_breaks(name))
        if name == "lb" and attributes.get("break") != "no":
            self._line.append(" ")
        if name in _DIVISIONS:
            self._divisions.append(len(self._tei.headings))
            level = (min(len(self._divisions), _DEEPEST), 0)
            self._tei.headings.append(Heading(self._length, level, "", self._expat.CurrentByteIndex))

    def _describe(self, name: str, attributes: dict[str, str]) -> None:
        """Take what an element says of the whole book."""
        tei = self._tei
        self._names_book = self._names_book or name == "titleStmt"
        if self._names_book and name in self._header:
            self._header[name].append("")
            self._field = name
        match name:
            case "TEI" | "TEI.2" | "text":
                tei.language = tei.language or attributes.get("xml:lang", attributes.get("lang", ""))
            case "language":
                tei.language = tei.language or attributes.get("ident", "")
            case "licence" | "license":
                tei.license = tei.license or _licence(attributes.get("target", ""))

    def _end(self, _: str) -> None:
        name = self._open.pop()
        self._names_book = self._names_book and name != "titleStmt"
        self._field = "" if name == self._field else self._field
        if name == "left out":
            self._left_out -= 1
        if self._left_out or name == "left out":
            return
        if name == "head" and self._divisions and self._open[-1] in _DIVISIONS:
            self._name_division(_joined(self._line))
        if name == "cell":
            self._line.append("\t")
        self._break(_breaks(name))
        if name in _DIVISIONS:
            self._divisions.pop()

    def _name_division(self, title: str) -> None:
        """Give the division that is open its heading, or another line of it."""
        place = self._divisions[-1]
        heading = self._tei.headings[place]
        titles = [part.rstrip(".") for part in (heading.title, title) if part]
        self._tei.headings[place] = replace(heading, title=". ".join(titles))

    def _characters(self, text: str) -> None:
        if self._field:
            self._header[self._field][-1] += text
        if not self._left_out:
            self._line.append(text)

    def _break(self, newlines: int) -> None:
        """End the line, if any, so that at least so many newlines follow."""
        if not newlines:
            return
        line = "\t".join(_joined([cell]) for cell in "".join(self._line).split("\t") if cell.strip())
        self._line = []
        if line:
            self._add(line)
            self._newlines = 0
        if newlines > self._newlines:
            self._add("\n" * (newlines - self._newlines))
            self._newlines = newlines

    def _add(self, piece: str) -> None:
        self._pieces.append(piece)
        self._length += len(piece)


def _breaks(element: str) -> int:
    """How many newlines separate an element from what stands around it."""
    return 2 if element in _PARAGRAPHS else 1 if element in _LINES else 0


def _joined(pieces: list[str]) -> str:
    """Text on one line, with single spaces."""
    return " ".join("".join(pieces).split())


def _licence(address: str) -> str:
    """A licence's short name, where its address is known; else the address."""
    found = _CREATIVE_COMMONS.search(address)
    if found is None:
        return address
    if found[3]:
        return "CC0-1.0" if found[3] == "zero" else "public domain"
    return f"CC-{found[1].upper()}-{found[2]}"

"""Wikitext to prose: furniture out by its brackets, the rest by mwparserfromhell.

Templates, tables, references, images and categories make up half of an article. They are cut out by one
linear pass over the brackets, so that the parser, whose time is the price of a page, sees prose only. What it
would search a partner for to the page's end, over and over (tags, external links), is resolved before it too.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from types import MappingProxyType

import mwparserfromhell

_DROPPED_TAGS = (
    "ref|references|gallery|timeline|imagemap|score|inputbox|templatestyles|graph|mapframe|maplink"
)
_LITERAL_TAGS = "nowiki|pre|syntaxhighlight|source|math|chem"
# An element ends before the next of its kind: tags that are never closed cost no scan to the page's end.
_TOKEN = re.compile(
    rf"""
    (?P<dropped> <!--.*?(?:-->|\Z)
               | <(?:{_DROPPED_TAGS})\b [^<>]* />
               | <(?P<tag>{_DROPPED_TAGS})\b [^<>]* > (?:[^<]++|<(?!/?(?P=tag)\b))*+ </(?P=tag)\s*> )
  | (?P<literal> <(?P<kept>{_LITERAL_TAGS})\b [^<>]* > (?:[^<]++|<(?!/?(?P=kept)\b))*+ </(?P=kept)\s*> )
  | (?P<markup> </?[a-z][^<>]*> )
  | (?P<open> \{{\{{ | \[\[ | (?m:^)[ \t:*\#;]* \{{\| )
  | (?P<close> \}}\}} | \]\] | (?m:^)[ \t]* \|\}}(?!\}}) )
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_OPENED_BY = MappingProxyType({"}}": "{{", "]]": "[[", "|}": "{|"})
_NOT_ACROSS = MappingProxyType({"{{": ("{|",), "[[": ("{|", "{{"), "{|": ()})
_ARGUMENT = re.compile(r"\|(?![^\[\]]*\]\])")
_NAMED = re.compile(r"\s*[^\s=<>\[\]][^=<>\[\]]*=")
_INTERLANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z-]+)?|simple")
_EXTERNAL = re.compile(r"\[(?:(?:https?:|ftp:)?//|mailto:)[^\s\[\]]*[ \t]?(?:([^\[\]\n]*)\])?", re.IGNORECASE)
_HEADING = re.compile(r"^(={1,6})[ \t]*(.+?)[ \t]*\1[ \t]*$", re.MULTILINE)
_LINE_BREAK = re.compile(r"<br\b[^<>]*>", re.IGNORECASE)
_SWITCH = re.compile(r"__[A-Z]{3,}__")
_HOLLOW = re.compile(r" ?[(（][\s;,:/–-]*[)）]")
_LOOSE_START = re.compile(r"\((?:[ \t]*[;,])+[ \t]*")
_SPACE_BEFORE = re.compile(r"[ \t]+([,.])(?=\s|$)", re.MULTILINE)
_LINE_WITHOUT_WORDS = re.compile(r"^[^\w\n]+$", re.MULTILINE)
_SPACES = re.compile(r"(?<=\S)[ \t]{2,}")
_INDENT = re.compile(r"^ ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Tables:
    """The word lists in ``data/wikitext.toml``."""

    dropped_links: frozenset[str]
    sections: frozenset[str]
    templates: Mapping[str, Sequence[int]]


@dataclass(slots=True)
class _Bracket:
    """An open bracket and what came after it."""

    kind: str
    pieces: list[str] = field(default_factory=list)


def prose(wikitext: str) -> str:
    """An article's running text with headings and list items on lines of their own.

    Out: templates (but those that carry text, see ``data/wikitext.toml``), tables, references, images,
    categories, galleries, and sections such as References and External links.
    """
    lean = without_sections(without_furniture(_LINE_BREAK.sub("\n", wikitext)))
    lean = _EXTERNAL.sub(r"\1", lean)
    text: str = mwparserfromhell.parse(lean).strip_code(normalize=True, collapse=True)
    text = _INDENT.sub("", _SWITCH.sub("", text))
    text = _HOLLOW.sub("", _LOOSE_START.sub("(", text))
    text = _SPACES.sub(" ", _SPACE_BEFORE.sub(r"\1", text))
    return _LINE_WITHOUT_WORDS.sub("", text)


def without_furniture(wikitext: str) -> str:
    """Wikitext without what its brackets cut out, in one pass. Unclosed brackets are left out."""
    stack = [_Bracket("")]
    at = 0
    for token in _TOKEN.finditer(wikitext):
        stack[-1].pieces.append(wikitext[at : token.start()])
        at = token.end()
        if token["literal"]:
            stack[-1].pieces.append(token[0])
        elif token["open"]:
            stack.append(_Bracket(token[0][-2:]))
        elif token["close"]:
            _close(stack, token[0][-2:])
    stack[-1].pieces.append(wikitext[at:])
    _unwind(stack, 0)
    return "".join(stack[0].pieces)


def _close(stack: list[_Bracket], mark: str) -> None:
    """Replace the nearest open bracket of this kind, and all in it, by what it stands for."""
    kind = _OPENED_BY[mark]
    for index in range(len(stack) - 1, 0, -1):
        if stack[index].kind == kind:
            _unwind(stack, index)
            content = "".join(stack.pop().pieces)
            if kind == "{{":
                stack[-1].pieces.append(_template_text(content))
            elif kind == "[[":
                stack[-1].pieces.append(_link(content))
            return
        if stack[index].kind in _NOT_ACROSS[kind]:
            break
    stack[-1].pieces.append(mark)


def _unwind(stack: list[_Bracket], index: int) -> None:
    """Give up brackets above ``index``, which were never closed, but not the text after them.

    The parser would try each of them against the rest of the page, in quadratic time.
    """
    while len(stack) - 1 > index:
        bracket = stack.pop()
        stack[-1].pieces += bracket.pieces


def _template_text(content: str) -> str:
    """What a template contributes to the sentence it stands in."""
    name, *arguments = _ARGUMENT.split(content)
    name = name.strip().lower()
    templates = _tables().templates
    places = templates.get(name) or templates.get(name.partition("-")[0] + "-") or ()
    unnamed = [argument.strip() for argument in arguments if not _NAMED.match(argument)]
    return " ".join(unnamed[place - 1] for place in places if place <= len(unnamed))


def _link(content: str) -> str:
    """A link to an article, for the parser; nothing for images, categories and other languages' articles."""
    prefix, colon, _ = content.partition("|")[0].partition(":")
    prefix = prefix.strip().lower()
    if colon and prefix in _tables().dropped_links:
        return ""
    if colon and "|" not in content and _INTERLANGUAGE.fullmatch(prefix):
        return ""
    return f"[[{content}]]"


def without_sections(wikitext: str) -> str:
    """Wikitext without reference sections and their subsections, and without headings over nothing."""
    names = _tables().sections
    kept: list[tuple[int, str, str]] = []
    dropped_level = 7
    for level, heading, body in _sections(wikitext):
        if level > dropped_level:
            continue
        is_dropped = heading.strip("=' \t").lower() in names
        dropped_level = level if is_dropped else 7
        if not is_dropped:
            kept.append((level, heading, body))
    pieces: list[str] = []
    next_level = 0
    for level, heading, body in reversed(kept):
        if body.strip() or next_level > level:
            pieces.append(heading + body)
            next_level = level
    return "".join(reversed(pieces))


def _sections(wikitext: str) -> Iterator[tuple[int, str, str]]:
    """Level, heading line and body of each section; the lead has level 0 and no heading."""
    level, heading, begin = 0, "", 0
    for found in _HEADING.finditer(wikitext):
        yield level, heading, wikitext[begin : found.start()]
        level, heading, begin = len(found[1]), found[0], found.end()
    yield level, heading, wikitext[begin:]


@cache
def _tables() -> _Tables:
    source = resources.files("pipeline.extraction").joinpath("data/wikitext.toml").read_text("utf-8")
    tables = tomllib.loads(source)
    return _Tables(
        frozenset(tables["file"] + tables["category"]), frozenset(tables["sections"]), tables["templates"]
    )

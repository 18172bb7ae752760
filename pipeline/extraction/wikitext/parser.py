"""Wikitext to prose, in linear time.

One pass over the brackets resolves templates, links and tables from the inside out; what is left is markup
that regular expressions without a way back take away. Formulas stay as their TeX source between dollar signs,
code as it is.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from html import unescape

from core.resources import read_toml
from pipeline.extraction.wikitext import templates
from pipeline.extraction.wikitext.tables import table

_DROPPED_TAGS = (
    "ref|references|gallery|timeline|imagemap|score|inputbox|templatestyles|graph|mapframe|maplink|"
    "section|indicator|categorytree|hiero"
)
_LITERAL_TAGS = "nowiki|pre|syntaxhighlight|source|math|chem|ce"
# An element ends before the next of its kind: tags that are never closed cost no scan to the page's end.
# The set of first characters comes first, because it is looked for fast.
_TOKEN = re.compile(
    rf"""
    [<{{}}\[\]|] (?:
      (?<=<) (?:
        (?P<dropped> !--.*?(?:-->|\Z)
                   | (?:{_DROPPED_TAGS})\b [^<>]* />
                   | (?P<tag>{_DROPPED_TAGS})\b [^<>]* > (?:[^<]++|<(?!/?(?P=tag)\b))*+ </(?P=tag)\s*> )
      | (?P<literal> (?P<kept>{_LITERAL_TAGS})\b [^<>]* >
                     (?P<inside>(?:[^<]++|<(?!/?(?P=kept)\b))*+) </(?P=kept)\s*> )
      | (?P<markup> /?[a-z][^<>]*> ) )
    | (?P<open> (?<={{) [{{|] | (?<=\[) \[ )
    | (?P<close> (?<=}}) }} | (?<=\]) \] | (?<=\|) }}(?!}}) )
    | (?P<bar> (?<=\|) ) )
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_TABLE_INDENT = " \t:*#;"
_LONGEST_INDENT = 40
_DEEPEST = 100
"""Brackets are nested no deeper in real pages; deeper ones are left out, so that time stays linear."""
_OPENED_BY = {"}}": "{{", "]]": "[[", "|}": "{|"}
_NOT_ACROSS: dict[str, tuple[str, ...]] = {"{{": ("{|",), "[[": ("{|", "{{"), "{|": ()}
_INTERLANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z-]+)?|simple")
_EXTERNAL = re.compile(r"\[(?:(?:https?:|ftp:)?//|mailto:)[^\s\[\]]*[ \t]?(?:([^\[\]\n]*)\])?", re.IGNORECASE)
_HEADING = re.compile(r"^(={1,6})([^\n]+)(?<==)[ \t]*$", re.MULTILINE)
_LINE_BREAK = re.compile(r"<br\b[^<>]*>", re.IGNORECASE)
_BLOCK = re.compile(r"</?(?:p|div|blockquote|center|ul|ol|dl|table|tr|h[1-6])\b[^<>]*>", re.IGNORECASE)
_ITEM = re.compile(r"<(?:li|dd|dt)\b[^<>]*>", re.IGNORECASE)
_SCRIPT = re.compile(r"<(su[bp])\b[^<>]*>([0-9+−=()n-]{1,12})</\1>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)
_VARIANT = re.compile(r"-\{(?:[^{}|]*+\|)?(?:zh[\w-]*:)?([^;{}]*+)[^{}]*+\}-")
_QUOTES = re.compile("'{2,}")
_SWITCH = re.compile(r"__[A-Z]{3,}__")
_LIST = re.compile(r"^([*#:;]+)[ \t]*(.*)$")
_HOLLOW = re.compile(r" ?[(（][\s;,:/–-]*[)）]")
_LOOSE_START = re.compile(r"([(（])[ \t;,]+")
_LOOSE_END = re.compile(r"(?:[ \t]?[;,]){1,8}[ \t]?([)）])")
_SPACE_BEFORE = re.compile(r"(?<=\S)[ \t]([,.])(?=\s|$)", re.MULTILINE)
_LINE_WITHOUT_WORDS = re.compile(r"^[^\w\n\ufdd0]+$", re.MULTILINE)
_WORD = re.compile(r"[\w\ufdd0]")
_SPACES = re.compile(r"(?<=\S)[ \t]{2,}")
_INDENT = re.compile(r"^ (?! )", re.MULTILINE)
_KEPT = re.compile("\ufdd0(\\d+)\ufdd0")
"""Marks the place of a literal; a noncharacter, which no page may hold."""
_NONCHARACTERS = re.compile("[\ufdd0-\ufdd4]")
_SUPERSCRIPTS = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_SUBSCRIPTS = str.maketrans("0123456789+-−=()n", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₙ")


@dataclass(frozen=True, slots=True)
class Wiki:
    """Where the wikitext is from, and what of it is wanted."""

    language: str = "en"
    project: str = "wikipedia"
    hidden_namespaces: frozenset[str] = frozenset()
    """The wiki's own names, in lower case, of namespaces whose links are no text: files and categories."""
    tables: bool = True
    lists: bool = True


@dataclass(slots=True)
class _Bracket:
    """An open bracket and what came after it, argument by argument, each in pieces."""

    kind: str
    arguments: list[list[str]] = field(default_factory=lambda: [[]])

    def add(self, piece: str) -> None:
        self.arguments[-1].append(piece)

    def joined(self) -> list[str]:
        return ["".join(pieces) for pieces in self.arguments]


def prose(wikitext: str, wiki: Wiki = Wiki()) -> str:
    """An article's text with headings, list items and table rows on lines of their own.

    Out: templates (but those that carry text, see ``data/wikitext_templates.toml``), references, images,
    categories, galleries, and sections such as References and External links.
    """
    resolved, literals = without_furniture(_NONCHARACTERS.sub("", _LINE_BREAK.sub("\n", wikitext)), wiki)
    text = without_sections(resolved)
    text = _HEADING.sub(_heading, _without_emphasis(_EXTERNAL.sub(r"\1", text)))
    text = _VARIANT.sub(r"\1", _SWITCH.sub("", text))
    text = unescape(_TAG.sub("", _SCRIPT.sub(_script, _ITEM.sub("\n* ", _BLOCK.sub("\n", text)))))
    text = "\n".join(_lines(text, wiki.lists))
    text = _HOLLOW.sub("", _LOOSE_END.sub(r"\1", _LOOSE_START.sub(r"\1", text)))
    text = _SPACE_BEFORE.sub(r"\1", _SPACES.sub(" ", text))
    text = _LINE_WITHOUT_WORDS.sub("", text)
    return _KEPT.sub(lambda found: literals[int(found[1])], text)


def without_furniture(wikitext: str, wiki: Wiki) -> tuple[str, list[str]]:
    """Wikitext with its brackets resolved, in one pass; and its literals, whose places are marked.

    Unclosed brackets are left out.
    """
    stack = [_Bracket("")]
    literals: list[str] = []
    at = 0
    for token in _TOKEN.finditer(wikitext):
        top = stack[-1]
        top.add(wikitext[at : token.start()])
        at = token.end()
        match token.lastgroup:
            case "literal":
                top.add(f"\ufdd0{len(literals)}\ufdd0")
                literals.append(_literal(token["kept"].lower(), token["inside"]))
            case "markup":
                top.add(token[0])
            case "bar":
                _bar(top)
            case "open" | "close" if "|" in token[0] and not _begins_line(wikitext, token.start()):
                top.add(token[0].partition("|")[0])
                _bar(top)
                top.add(token[0].partition("|")[2])
            case "open" if len(stack) < _DEEPEST:
                stack.append(_Bracket(token[0]))
            case "close":
                _close(stack, token[0], wiki)
    stack[-1].add(wikitext[at:])
    _unwind(stack, 0)
    return "".join(stack[0].joined()), literals


def _bar(bracket: _Bracket) -> None:
    """A bar begins the next argument, or is text."""
    if bracket.kind in ("{{", "[["):
        bracket.arguments.append([])
    else:
        bracket.add("|")


def _begins_line(wikitext: str, at: int) -> bool:
    """Whether only the marks of lists stand before it on its line."""
    before = wikitext[max(0, at - _LONGEST_INDENT) : at]
    _, newline, indent = before.rpartition("\n")
    return not indent.strip(_TABLE_INDENT) and (bool(newline) or at <= _LONGEST_INDENT)


def _literal(tag: str, content: str) -> str:
    """What is not wikitext: a formula, code, or text whose brackets mean nothing."""
    if tag == "math":
        return f"${' '.join(content.split())}$"
    if tag in ("syntaxhighlight", "source", "pre"):
        return "\n" + (unescape(content) if tag == "pre" else content).strip("\n") + "\n"
    return unescape(content)


def _close(stack: list[_Bracket], mark: str, wiki: Wiki) -> None:
    """Replace the nearest open bracket of this kind, and all in it, by what it stands for."""
    kind = _OPENED_BY[mark]
    for index in range(len(stack) - 1, 0, -1):
        if stack[index].kind == kind:
            _unwind(stack, index)
            closed = stack.pop()
            stack[-1].add(_RESOLVE[kind](closed, wiki))
            return
        if stack[index].kind in _NOT_ACROSS[kind]:
            break
    stack[-1].add(mark)


def _unwind(stack: list[_Bracket], index: int) -> None:
    """Give up brackets above ``index``, which were never closed, but not the text after them."""
    for bracket in stack[index + 1 :]:
        for pieces in bracket.arguments:
            stack[index].arguments[-1] += pieces
    del stack[index + 1 :]


def _template(bracket: _Bracket, wiki: Wiki) -> str:
    head, *arguments = bracket.joined()
    begins = (pieces[0] if pieces else "" for pieces in bracket.arguments[1:])
    return templates.text(head, list(zip(begins, arguments, strict=True)), wiki.language, wiki.project)


def _link(bracket: _Bracket, wiki: Wiki) -> str:
    """What a link shows; nothing for images, categories and other languages' articles."""
    target, *shown = bracket.joined()
    prefix, colon, rest = target.partition(":")
    prefix = " ".join(prefix.replace("_", " ").lower().split())
    if colon and (prefix in _tables().dropped_links or prefix in wiki.hidden_namespaces):
        return ""
    if colon and not shown and _INTERLANGUAGE.fullmatch(prefix):
        return ""
    if not shown:
        return target.strip().removeprefix(":")
    label = shown[-1].strip()
    # The pipe trick: nothing after the bar stands for the title without namespace and parentheses.
    return label or (rest or target).partition("(")[0].strip()


def _table(bracket: _Bracket, wiki: Wiki) -> str:
    return table("".join(bracket.joined())) if wiki.tables else ""


_RESOLVE: dict[str, Callable[[_Bracket, Wiki], str]] = {"{{": _template, "[[": _link, "{|": _table}


def _heading(found: re.Match[str]) -> str:
    title = found[2].strip("= \t")
    return f"\n{title}\n" if title else ""


def _script(found: re.Match[str]) -> str:
    """Superscript or subscript digits."""
    return found[2].translate(_SUPERSCRIPTS if found[1].lower() == "sup" else _SUBSCRIPTS)


def _without_emphasis(text: str) -> str:
    """Without the apostrophes of bold and italic text. In l'''name'', the first is a real one."""
    return "\n".join(_line_without_emphasis(line) if "''" in line else line for line in text.split("\n"))


def _line_without_emphasis(line: str) -> str:
    runs = [len(run) for run in _QUOTES.findall(line)]
    bold = sum(run in (3, 4) or run >= 5 for run in runs)
    italic = sum(run == 2 or run >= 5 for run in runs)
    line = _QUOTES.sub(lambda found: "'" if len(found[0]) == 4 else "\ufdd1" * (len(found[0]) == 3), line)
    if bold % 2 and italic % 2:
        line = re.sub("(?<=\\w)\ufdd1", "'", line, count=1)
    return line.replace("\ufdd1", "")


def _lines(text: str, lists: bool) -> Iterator[str]:
    """Line by line, with a dash before the items of a list and a number before those of a numbered one."""
    numbers: list[int] = []
    for line in text.split("\n"):
        found = _LIST.match(line)
        if not found:
            numbers = []
            yield _INDENT.sub("", line)
            continue
        marks, item = found[1], found[2].strip()
        depth = len(marks)
        numbers = [*numbers[:depth], *[0] * (depth - len(numbers))]
        numbers[-1] += 1
        if not item or (not lists and marks[-1] in "*#"):
            continue
        mark = {"*": "- ", "#": f"{numbers[-1]}. "}.get(marks[-1], "")
        yield "  " * (min(depth, 8) - 1) * bool(mark) + mark + item


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
        if _WORD.search(body) or next_level > level:
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


@dataclass(frozen=True, slots=True)
class _Tables:
    """The word lists in ``data/wikitext.toml``."""

    dropped_links: frozenset[str]
    sections: frozenset[str]


@cache
def _tables() -> _Tables:
    tables = read_toml("pipeline.extraction.wikitext", "names.toml")
    return _Tables(frozenset(tables["file"] + tables["category"]), frozenset(tables["sections"]))

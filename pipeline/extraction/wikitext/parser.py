"""Wikitext to prose, in linear time.

One pass over the brackets resolves templates, links and tables from the innermost outwards. The remaining
markup is removed by regular expressions without backtracking. Formulas are kept as TeX source between dollar
signs; code is kept unchanged.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from html import unescape

from core.resources import read_toml
from pipeline.extraction.wikitext import templates
from pipeline.extraction.wikitext.tables import format_table

_DROPPED_TAGS = (
    "ref|references|gallery|timeline|imagemap|score|inputbox|templatestyles|graph|mapframe|maplink|"
    "section|indicator|categorytree|hiero"
)
_LITERAL_TAGS = "nowiki|pre|syntaxhighlight|source|math|chem|ce"
# An element may not contain another tag of its name, so that unclosed tags cause no scan to the end of the
# page. The character class comes first, because the regex engine searches for it quickly.
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
_MAX_INDENT = 40
_MAX_DEPTH = 100
"""Real pages nest brackets less deeply. Deeper brackets are dropped, so that time stays linear."""
_OPENING = {"}}": "{{", "]]": "[[", "|}": "{|"}
_BARRIERS: dict[str, tuple[str, ...]] = {"{{": ("{|",), "[[": ("{|", "{{"), "{|": ()}
"""Open brackets across which a bracket cannot be closed."""
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
_MAGIC_WORD = re.compile(r"__[A-Z]{3,}__")
_LIST = re.compile(r"^([*#:;]+)[ \t]*(.*)$")
_EMPTY_PARENTHESES = re.compile(r" ?[(（][\s;,:/–-]*[)）]")
_DANGLING_START = re.compile(r"([(（])[ \t;,]+")
_DANGLING_END = re.compile(r"(?:[ \t]?[;,]){1,8}[ \t]?([)）])")
_SPACE_BEFORE = re.compile(r"(?<=\S)[ \t]([,.])(?=\s|$)", re.MULTILINE)
_LINE_WITHOUT_WORDS = re.compile(r"^[^\w\n\ufdd0]+$", re.MULTILINE)
_WORD = re.compile(r"[\w\ufdd0]")
_SPACES = re.compile(r"(?<=\S)[ \t]{2,}")
_INDENT = re.compile(r"^ (?! )", re.MULTILINE)
_PLACEHOLDER = re.compile("\ufdd0(\\d+)\ufdd0")
"""Stands for a literal. It is delimited by a noncharacter, which is removed from pages."""
_NONCHARACTERS = re.compile("[\ufdd0-\ufdd4]")
_SUPERSCRIPTS = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_SUBSCRIPTS = str.maketrans("0123456789+-−=()n", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₙ")


@dataclass(frozen=True, slots=True)
class Options:
    """The wiki that the wikitext comes from, and the parts to keep."""

    language: str = "en"
    project: str = "wikipedia"
    hidden_namespaces: frozenset[str] = frozenset()
    """The local names, in lower case, of the file and category namespaces, whose links are removed."""
    tables: bool = True
    lists: bool = True


@dataclass(slots=True)
class _Bracket:
    """An open bracket and the arguments after it, each as a list of parts."""

    opening: str
    arguments: list[list[str]] = field(default_factory=lambda: [[]])

    def add(self, part: str) -> None:
        self.arguments[-1].append(part)

    def joined_arguments(self) -> list[str]:
        return ["".join(parts) for parts in self.arguments]


def to_prose(wikitext: str, options: Options = Options()) -> str:
    """Return an article's text, with headings, list items and table rows on separate lines.

    Removed are templates without text (those with text are in ``templates.toml``), references, images,
    categories, galleries, and sections such as References and External links.
    """
    resolved, literals = resolve_brackets(_NONCHARACTERS.sub("", _LINE_BREAK.sub("\n", wikitext)), options)
    text = strip_sections(resolved)
    text = _HEADING.sub(_heading, _strip_emphasis(_EXTERNAL.sub(r"\1", text)))
    text = _VARIANT.sub(r"\1", _MAGIC_WORD.sub("", text))
    text = unescape(_TAG.sub("", _SCRIPT.sub(_script, _ITEM.sub("\n* ", _BLOCK.sub("\n", text)))))
    text = "\n".join(_format_lines(text, options.lists))
    text = _EMPTY_PARENTHESES.sub("", _DANGLING_END.sub(r"\1", _DANGLING_START.sub(r"\1", text)))
    text = _SPACE_BEFORE.sub(r"\1", _SPACES.sub(" ", text))
    text = _LINE_WITHOUT_WORDS.sub("", text)
    return _PLACEHOLDER.sub(lambda found: literals[int(found[1])], text)


def resolve_brackets(wikitext: str, options: Options) -> tuple[str, list[str]]:
    """Resolve all brackets in one pass; return the text, with placeholders for literals, and the literals.

    Unclosed brackets are removed.
    """
    stack = [_Bracket("")]
    literals: list[str] = []
    end = 0
    for token in _TOKEN.finditer(wikitext):
        top = stack[-1]
        top.add(wikitext[end : token.start()])
        end = token.end()
        match token.lastgroup:
            case "literal":
                top.add(f"\ufdd0{len(literals)}\ufdd0")
                literals.append(_literal(token["kept"].lower(), token["inside"]))
            case "markup":
                top.add(token[0])
            case "bar":
                _bar(top)
            case "open" | "close" if "|" in token[0] and not _starts_line(wikitext, token.start()):
                top.add(token[0].partition("|")[0])
                _bar(top)
                top.add(token[0].partition("|")[2])
            case "open" if len(stack) < _MAX_DEPTH:
                stack.append(_Bracket(token[0]))
            case "close":
                _close(stack, token[0], options)
    stack[-1].add(wikitext[end:])
    _unwind(stack, 0)
    return "".join(stack[0].joined_arguments()), literals


def _bar(bracket: _Bracket) -> None:
    """Start the next argument of a template or link; elsewhere, add the bar as text."""
    if bracket.opening in ("{{", "[["):
        bracket.arguments.append([])
    else:
        bracket.add("|")


def _starts_line(wikitext: str, position: int) -> bool:
    """True if only list marks and blanks precede the position on its line."""
    before = wikitext[max(0, position - _MAX_INDENT) : position]
    _, newline, indent = before.rpartition("\n")
    return not indent.strip(_TABLE_INDENT) and (bool(newline) or position <= _MAX_INDENT)


def _literal(tag: str, content: str) -> str:
    """Return the text of an element whose content is not wikitext: a formula, code or ``nowiki``."""
    if tag == "math":
        return f"${' '.join(content.split())}$"
    if tag in ("syntaxhighlight", "source", "pre"):
        return "\n" + (unescape(content) if tag == "pre" else content).strip("\n") + "\n"
    return unescape(content)


def _close(stack: list[_Bracket], closing: str, options: Options) -> None:
    """Replace the nearest matching bracket, and its content, by its text."""
    opening = _OPENING[closing]
    for index in range(len(stack) - 1, 0, -1):
        if stack[index].opening == opening:
            _unwind(stack, index)
            closed = stack.pop()
            stack[-1].add(_RESOLVE[opening](closed, options))
            return
        if stack[index].opening in _BARRIERS[opening]:
            break
    stack[-1].add(closing)


def _unwind(stack: list[_Bracket], index: int) -> None:
    """Drop the unclosed brackets above ``index``, keeping the text after them."""
    for bracket in stack[index + 1 :]:
        for parts in bracket.arguments:
            stack[index].arguments[-1] += parts
    del stack[index + 1 :]


def _template(bracket: _Bracket, options: Options) -> str:
    head, *arguments = bracket.joined_arguments()
    prefixes = (parts[0] if parts else "" for parts in bracket.arguments[1:])
    return templates.expand(
        head, list(zip(prefixes, arguments, strict=True)), options.language, options.project
    )


def _link(bracket: _Bracket, options: Options) -> str:
    """Return a link's label; an empty string for images, categories and interlanguage links."""
    target, *labels = bracket.joined_arguments()
    prefix, colon, rest = target.partition(":")
    prefix = " ".join(prefix.replace("_", " ").lower().split())
    if colon and (prefix in _names().dropped_links or prefix in options.hidden_namespaces):
        return ""
    if colon and not labels and _INTERLANGUAGE.fullmatch(prefix):
        return ""
    if not labels:
        return target.strip().removeprefix(":")
    label = labels[-1].strip()
    # The pipe trick: an empty label stands for the title without namespace and parentheses.
    return label or (rest or target).partition("(")[0].strip()


def _table(bracket: _Bracket, options: Options) -> str:
    return format_table("".join(bracket.joined_arguments())) if options.tables else ""


_RESOLVE: dict[str, Callable[[_Bracket, Options], str]] = {"{{": _template, "[[": _link, "{|": _table}


def _heading(found: re.Match[str]) -> str:
    title = found[2].strip("= \t")
    return f"\n{title}\n" if title else ""


def _script(found: re.Match[str]) -> str:
    """Convert digits to superscripts or subscripts."""
    return found[2].translate(_SUPERSCRIPTS if found[1].lower() == "sup" else _SUBSCRIPTS)


def _strip_emphasis(text: str) -> str:
    """Remove the apostrophes of bold and italic text. In ``l'''name''``, the first one is kept."""
    return "\n".join(_strip_emphasis_from_line(line) if "''" in line else line for line in text.split("\n"))


def _strip_emphasis_from_line(line: str) -> str:
    runs = [len(run) for run in _QUOTES.findall(line)]
    bold = sum(run in (3, 4) or run >= 5 for run in runs)
    italic = sum(run == 2 or run >= 5 for run in runs)
    line = _QUOTES.sub(lambda found: "'" if len(found[0]) == 4 else "\ufdd1" * (len(found[0]) == 3), line)
    if bold % 2 and italic % 2:
        line = re.sub("(?<=\\w)\ufdd1", "'", line, count=1)
    return line.replace("\ufdd1", "")


def _format_lines(text: str, lists: bool) -> Iterator[str]:
    """Yield the lines, with a dash before list items and a number before items of numbered lists."""
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


def strip_sections(wikitext: str) -> str:
    """Remove reference sections with their subsections, and headings without text below them."""
    names = _names().sections
    kept: list[tuple[int, str, str]] = []
    dropped_level = 7
    for level, heading, body in _sections(wikitext):
        if level > dropped_level:
            continue
        is_dropped = heading.strip("=' \t").lower() in names
        dropped_level = level if is_dropped else 7
        if not is_dropped:
            kept.append((level, heading, body))
    parts: list[str] = []
    next_level = 0
    for level, heading, body in reversed(kept):
        if _WORD.search(body) or next_level > level:
            parts.append(heading + body)
            next_level = level
    return "".join(reversed(parts))


def _sections(wikitext: str) -> Iterator[tuple[int, str, str]]:
    """Yield level, heading line and body of each section; the lead has level 0 and no heading."""
    level, heading, begin = 0, "", 0
    for found in _HEADING.finditer(wikitext):
        yield level, heading, wikitext[begin : found.start()]
        level, heading, begin = len(found[1]), found[0], found.end()
    yield level, heading, wikitext[begin:]


@dataclass(frozen=True, slots=True)
class _Names:
    """The lists of names in ``names.toml``."""

    dropped_links: frozenset[str]
    sections: frozenset[str]


@cache
def _names() -> _Names:
    names = read_toml("pipeline.extraction.wikitext", "names.toml")
    return _Names(frozenset(names["file"] + names["category"]), frozenset(names["sections"]))

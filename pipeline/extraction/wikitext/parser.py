"""Wikitext to prose, in linear time.

One pass over the brackets resolves templates, links and tables from the innermost outwards; see
:mod:`~pipeline.extraction.wikitext.brackets`. The remaining markup is removed by regular expressions without
backtracking. Formulas are kept as TeX source between dollar signs; code is kept unchanged.
"""

import re
from collections.abc import Iterator
from functools import cache
from html import unescape
from itertools import takewhile

from core.resources import read_text, read_toml
from pipeline.extraction.wikitext.brackets import resolve_brackets
from pipeline.extraction.wikitext.gaps import GAP, close_gaps
from pipeline.extraction.wikitext.options import DEFAULT, Options

_EXTERNAL = re.compile(r"\[(?:(?:https?:|ftp:)?//|mailto:)[^\s\[\]]*[ \t]?(?:([^\[\]\n]*)\])?", re.IGNORECASE)
_HEADING = re.compile(rf"^{GAP}*(={{1,6}})([^\n]+)(?<==)[ \t{GAP}]*$", re.MULTILINE)
_LINE_BREAK = re.compile(r"</?br\b[^<>]*>", re.IGNORECASE)
_BLOCK = re.compile(r"</?(?:p|div|blockquote|center|ul|ol|dl|table|tr|hr|h[1-6])\b[^<>]*>", re.IGNORECASE)
_ITEM = re.compile(r"<(?:li|dd|dt)\b[^<>]*>", re.IGNORECASE)
_ROW = re.compile(r"<tr\b[^<>]*>\s*+<t[dh]\b[^<>]*>", re.IGNORECASE)
_CELL = re.compile(r"<(?:/t[dh]\s*>\s*+<)?t[dh]\b[^<>]*>", re.IGNORECASE)
_SCRIPT = re.compile(r"<(su[bp])\b[^<>]*>([^<>\n]{1,40})</\1>", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9+−=()n-]{1,12}")
_NUMBER = re.compile(r"[−-]?[0-9]+[.,/][0-9]+")
"""Content of an exponent that has no superscript characters."""
_RUBY = re.compile(r"<rt\b[^<>]*>([^<>]*)(?:</rt\s*>)?", re.IGNORECASE)
_TAG = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)
_VARIANT = re.compile(r"-\{(?:([^{}|]*+)\|)?\s*+(?:[a-z]{2,3}[\w-]*:)?([^;{}]*+)[^{}]*+\}-")
"""Spellings in the variants of a language, of which the first one is kept."""
_QUOTES = re.compile("'{2,}")
_MAGIC_WORD = re.compile(r"(?:__|＿＿)([^\s_＿]++(?:_[^\s_＿]++)*+)_?(?:__|＿＿)")
_LIST = re.compile(r"^([*#:;]+)[ \t]*(.*)$")
_DANGLING_START = re.compile(r"([(（])[ \t]*+[;,][ \t]++")
_DANGLING_END = re.compile(r"[;,][ \t]++(?=[)）])")
_SPACE_BEFORE = re.compile(r"(?<=\S)[ \t]([,.])(?=\s|$)", re.MULTILINE)
_LINE_WITHOUT_WORDS = re.compile(r"^[^\w\n\ufdd0]+$", re.MULTILINE)
_WORD = re.compile(r"[\w\ufdd0]")
_SPACES = re.compile(r"(?<=\S)[ \t]{2,}")
_INDENT = re.compile(r"^ (?! )", re.MULTILINE)
_PLACEHOLDER = re.compile("\ufdd0(\\d+)\ufdd0")
"""Stands for a literal. It is delimited by a noncharacter, which is removed from pages."""
_NONCHARACTERS = re.compile("[\ufdd0-\ufdd5]")
_SUPERSCRIPTS = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_SUBSCRIPTS = str.maketrans("0123456789+-−=()n", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₙ")


def to_prose(wikitext: str, options: Options = DEFAULT) -> str:
    """Return an article's text, with headings, list items and table rows on separate lines.

    Removed are templates without text, references, images, categories, galleries, and sections such as
    References and External links.
    """
    resolved, literals = resolve_brackets(_NONCHARACTERS.sub("", _LINE_BREAK.sub("\n", wikitext)), options)
    text = strip_sections(resolved)
    text = _HEADING.sub(_heading, _strip_emphasis(_EXTERNAL.sub(r"\1", text)))
    text = _VARIANT.sub(_variant, _MAGIC_WORD.sub(_magic_word, text))
    text = _ITEM.sub("\n* ", _BLOCK.sub("\n", _CELL.sub(" | ", _ROW.sub("\n", text))))
    text = unescape(_TAG.sub("", _RUBY.sub(_reading, _SCRIPT.sub(_script, text))))
    text = "\n".join(_format_lines(close_gaps(text), options.lists))
    text = _SPACE_BEFORE.sub(r"\1", _SPACES.sub(" ", _DANGLING_END.sub("", _DANGLING_START.sub(r"\1", text))))
    text = _LINE_WITHOUT_WORDS.sub("", text)
    return _PLACEHOLDER.sub(lambda found: literals[int(found[1])], text)


def _magic_word(found: re.Match[str]) -> str:
    """Remove behaviour switches such as ``__NOTOC__``; other words, such as ``__init__``, stay."""
    return GAP if found[1].casefold() in _switches() else found[0]


@cache
def _switches() -> frozenset[str]:
    """Return the behaviour switches of all languages, without underscores, in folded case."""
    return frozenset(read_text("pipeline.extraction.wikitext", "data/magic_words.txt").split("\n"))


def _heading(found: re.Match[str]) -> str:
    title = found[2].strip(f"= \t{GAP}")
    return f"\n{title}\n" if title else ""


def _variant(found: re.Match[str]) -> str:
    """Return the first spelling; nothing for rules about the title or the rest of the page."""
    return "" if (found[1] or "").strip() in ("T", "H", "-") else found[2]


def _reading(found: re.Match[str]) -> str:
    """Put the reading above characters in parentheses after them."""
    return f"({found[1]})" if found[1].isascii() else f"（{found[1]}）"


def _script(found: re.Match[str]) -> str:
    """Convert digits to superscripts or subscripts, and other raised numbers to powers (``10^0.5``)."""
    content, is_raised = unescape(found[2]).strip(), found[1].lower() == "sup"
    if _DIGITS.fullmatch(content):
        return content.translate(_SUPERSCRIPTS if is_raised else _SUBSCRIPTS)
    if is_raised and _NUMBER.fullmatch(content):
        return f"^({content})" if "/" in content else f"^{content}"
    return found[0]


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
    previous = ""
    for line in text.split("\n"):
        found = _LIST.match(line)
        if not found:
            numbers, previous = [], ""
            yield _INDENT.sub("", line)
            continue
        marks, item = found[1], found[2].strip()
        depth = len(marks)
        common = sum(
            1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(previous, marks, strict=False))
        )
        numbers, previous = [*numbers[:common], *[0] * (depth - common)], marks
        numbers[-1] += 1
        if not item or (not lists and marks[-1] in "*#"):
            continue
        mark = {"*": "- ", "#": f"{numbers[-1]}. "}.get(marks[-1], "")
        yield "  " * (min(depth, 8) - 1) * bool(mark) + mark + item


def strip_sections(wikitext: str) -> str:
    """Remove reference sections with their subsections, and headings without text below them."""
    names = _hidden_sections()
    kept: list[tuple[int, str, str]] = []
    dropped_level = 7
    for level, heading, body in _sections(wikitext):
        if level > dropped_level:
            continue
        is_dropped = heading.strip(f"=' \t{GAP}").lower() in names
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


@cache
def _hidden_sections() -> frozenset[str]:
    """Return the headings of sections without prose, in lower case."""
    return frozenset(read_toml("pipeline.extraction.wikitext", "data/sections.toml")["sections"])

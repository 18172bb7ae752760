"""Templates, links, tables and elements of wikitext, resolved from the innermost outwards in one pass."""

import re
from dataclasses import dataclass, field
from functools import cache
from html import unescape

from core.resources import read_toml
from pipeline.extraction.wikitext import templates
from pipeline.extraction.wikitext.gaps import GAP, close_gaps
from pipeline.extraction.wikitext.options import Options
from pipeline.extraction.wikitext.tables import format_table

_DROPPED_TAGS = (
    "ref|references|gallery|timeline|imagemap|score|inputbox|templatestyles|graph|mapframe|maplink|"
    "section|indicator|categorytree|hiero|templatedata|includeonly|rp|style|script"
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
                   | (?P<tag>{_DROPPED_TAGS})\b [^<>]* >
                     (?:[^<]++|<(?!(?P=tag)\b|/(?P=tag)\s*>))*+ </(?P=tag)\s*>
                   | ref\b [^<>]* > [^<\n{{}}\[\]]*+ )
      | (?P<literal> (?P<kept>{_LITERAL_TAGS})\b [^<>]* >
                     (?P<inside>(?:[^<]++|<(?!/?(?P=kept)\b))*+) </(?P=kept)\s*> )
      | (?P<markup> /?[a-z][^<>]*> ) )
    | (?P<parameter> (?<={{) {{{{ [^{{}}|]*+ (?:\| (?P<default>[^{{}}]*+) )? }}}}}} (?!}}) )
    | (?P<open> (?<={{) [{{|] | (?<=\[) \[ )
    | (?P<close> (?<=}}) }} (?!}}(?!}})) | (?<=\]) \] (?!\](?!\])) | (?<=\|) }}(?!}}) )
    | (?P<bar> (?<=\|) ) )
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_TABLE_INDENT = " \t:*#;"
_MAX_INDENT = 40
_MAX_DEPTH = 100
"""Real pages nest brackets less deeply. Deeper brackets are dropped, so that time stays linear."""
_MAX_SURROUNDINGS = 200
"""Characters before and after a template that decide about its text."""
_OPENING = {"}}": "{{", "]]": "[[", "|}": "{|"}
_BARRIERS: dict[str, tuple[str, ...]] = {"{{": ("{|",), "[[": ("{|", "{{"), "{|": ()}
"""Open brackets across which a bracket cannot be closed."""
_NAMED = re.compile(r"[ \t]*+[^\s=<>{}\[\]][^=<>{}\[\]\n]{0,60}=")
_INTERLANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z-]+)?|simple")


@dataclass(slots=True)
class _Bracket:
    """An open bracket and the arguments after it, each as a list of parts."""

    opening: str
    arguments: list[list[str]] = field(default_factory=lambda: [[]])

    def add(self, part: str) -> None:
        self.arguments[-1].append(part)

    def joined_arguments(self) -> list[str]:
        joined = ["".join(parts) for parts in self.arguments]
        return [close_gaps(text) if GAP in text else text for text in joined]


def resolve_brackets(wikitext: str, options: Options) -> tuple[str, list[str]]:
    """Resolve all brackets in one pass; return the text, with placeholders for literals, and the literals.

    :data:`~pipeline.extraction.wikitext.gaps.GAP` marks where something has been removed. Unclosed brackets
    are removed.
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
                _close(stack, token[0], options, (wikitext, end))
            case "dropped":
                top.add(GAP)
            case "parameter":
                top.add(token["default"] or GAP)
    stack[-1].add(wikitext[end:])
    _unwind(stack, 0)
    return "".join("".join(parts) for parts in stack[0].arguments), literals


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


def _close(stack: list[_Bracket], closing: str, options: Options, position: tuple[str, int]) -> None:
    """Replace the nearest matching bracket, and its content, by its text.

    ``position`` is the wikitext and the index after the closing bracket.
    """
    opening = _OPENING[closing]
    for index in range(len(stack) - 1, 0, -1):
        if stack[index].opening == opening:
            _unwind(stack, index)
            closed = stack.pop()
            stack[-1].add(_resolve(closed, options, stack[-1], position) or GAP)
            return
        if stack[index].opening in _BARRIERS[opening]:
            break
    stack[-1].add(closing)


def _unwind(stack: list[_Bracket], index: int) -> None:
    """Drop the unclosed brackets above ``index``, keeping the text after them.

    Of a template with named arguments, such as an infobox, the text after a blank line is kept.
    """
    for bracket in stack[index + 1 :]:
        is_box = bracket.opening == "{{" and any(
            _NAMED.match(parts[0]) for parts in bracket.arguments if parts
        )
        for parts in bracket.arguments:
            stack[index].arguments[-1] += ["".join(parts).partition("\n\n")[2]] if is_box else parts
    del stack[index + 1 :]


def _resolve(bracket: _Bracket, options: Options, parent: _Bracket, position: tuple[str, int]) -> str:
    match bracket.opening:
        case "{{":
            return _template(bracket, options, parent, position)
        case "[[":
            return _link(bracket, options)
        case _:
            return format_table("".join(bracket.joined_arguments())) if options.tables else ""


def _template(bracket: _Bracket, options: Options, parent: _Bracket, position: tuple[str, int]) -> str:
    head, *arguments = bracket.joined_arguments()
    prefixes = (_before_brackets(parts) for parts in bracket.arguments[1:])
    text = templates.expand(
        head, list(zip(prefixes, arguments, strict=True)), options, lambda: _place(parent, *position)
    )
    wikitext, end = position
    # The sentence may end after an abbreviation, such as {{AC|5}}.
    return text[:-1] if text.endswith(".") and wikitext[end : end + 2] in (".", ". ", ".\n") else text


def _before_brackets(parts: list[str]) -> str:
    """Return the beginning of an argument, in which its name may be, after comments."""
    index = 0
    while index + 1 < len(parts) and not parts[index].strip() and parts[index + 1] == GAP:
        index += 2
    return parts[index] if index < len(parts) else ""


def _place(parent: _Bracket, wikitext: str, end: int) -> templates.Place:
    """Return the surroundings of a template that ends at an index of the wikitext."""
    before = ""
    for part in reversed(parent.arguments[-1]):
        line = part[-_MAX_SURROUNDINGS:].rpartition("\n")
        before = line[2] + before
        if line[1] or len(before) >= _MAX_SURROUNDINGS:
            break
    after = wikitext[end : end + _MAX_SURROUNDINGS].partition("\n")[0]
    return templates.Place(before.replace(GAP, ""), after, parent.opening in ("{{", "[["))


def _link(bracket: _Bracket, options: Options) -> str:
    """Return a link's label; an empty string for images, categories and interlanguage links."""
    target, *labels = bracket.joined_arguments()
    prefix, colon, rest = target.partition(":")
    if colon and not labels and _INTERLANGUAGE.fullmatch(prefix.strip()):
        return ""
    prefix = " ".join(prefix.replace("_", " ").lower().split())
    if colon and (prefix in _hidden_namespaces() or prefix in options.hidden_namespaces):
        return ""
    if not labels:
        return target.strip().removeprefix(":")
    label = labels[-1].strip()
    # The pipe trick: an empty label stands for the title without namespace and parentheses.
    return label or (rest or target).partition("(")[0].strip()


@cache
def _hidden_namespaces() -> frozenset[str]:
    """Return the names of the file and category namespaces in all languages."""
    names = read_toml("pipeline.extraction.wikitext", "data/namespaces.toml")
    return frozenset(names["file"] + names["category"])

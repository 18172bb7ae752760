"""Formulas of HTML pages as text: their TeX source as ``$…$``, or a readable line if there is none.

Renderers leave a formula on the page in several copies, of which only one is kept: MathML with the TeX source
as annotation or ``alttext``, scripts of type ``math/tex`` (MathJax 2), images whose alternative text is TeX,
and the visual copies of KaTeX and MathJax.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote_plus

from selectolax.lexbor import LexborHTMLParser, LexborNode

from pipeline.extraction.html.markup import kind_of
from pipeline.extraction.html.mathml import linear

Attributes = Mapping[str, str | None]

_TEX = re.compile("tex", re.I)
_DELIMITERS = (("$$", "$$"), ("\\(", "\\)"), ("\\[", "\\]"), ("$", "$"))
_STYLED = re.compile(r"\{\\(?:display|text)style\b\s*(.*)\}", re.DOTALL)
_COMMENT = re.compile(r"(?<!\\)%.*")
_ANNOTATIONS = "annotation, m\\:annotation, mml\\:annotation"
_TEX_TEXT = frozenset(("inline", "js-render-math"))
"""Classes that stand beside ``math`` where a script draws the formula."""
_IMAGE_CLASSES = frozenset(("latex", "tex", "math"))
_MEDIAWIKI = "mwe-math-fallback-image"
_EMOJI_CLASSES = frozenset(("emoji", "emojione", "smiley", "wp-smiley", "twemoji"))
_MAX_EMOJI = 12
_IMAGE_NAME = re.compile("tex|math|emoji|smiley")
"""Matches all classes of images that stand for text, and some others."""
_MAX_SOURCE = 2000
_SERVICES = tuple(name + end for name in ("latex", "tex", "equation") for end in ("", ".php", ".cgi"))
_IMAGE_SOURCE = re.compile(r"(?:latex|tex|equation)(?:\.(?:php|cgi))?\?(?:latex=|tex=)?([^&]*)", re.I)
"""Matches addresses of services that draw formulas, with the source of the formula."""


def tex(source: str) -> str:
    """Return TeX source as ``$…$`` on one line, without comments; an empty string if there is none."""
    source = source.strip()
    for opening, closing in _DELIMITERS:
        if source.startswith(opening) and source.endswith(closing) and len(source) > len(opening + closing):
            source = source[len(opening) : -len(closing)]
            break
    if found := _STYLED.fullmatch(source.strip()):
        source = found[1]
    source = " ".join(_COMMENT.sub("", source).split())
    return f"${source}$" if source else ""


class Formula(NamedTuple):
    """A formula as text, empty if there is none."""

    text: str
    is_display: bool = False
    """True if it stands on a line of its own."""


def may_be_formula(tag: str, attributes: Attributes) -> bool:
    """Return False for nearly all images and scripts without a formula, at little cost."""
    if tag == "script":
        return "type" in attributes and is_source(attributes)
    alt = attributes.get("alt")
    if alt and (alt.lstrip().startswith("$") or _IMAGE_NAME.search(attributes.get("class") or "")):
        return True
    return _may_be_drawn(attributes.get("src") or "")


def formula(node: LexborNode, tag: str, attributes: Attributes) -> Formula:
    """Return the formula that an element holds; ``script`` and ``img`` may hold something else."""
    match tag:
        case "script":
            return _from_script(node, attributes) if is_source(attributes) else Formula("")
        case "img":
            return _from_image(node, attributes)
        case "d-math":
            return Formula(tex(node.text(deep=True)), "block" in attributes)
        case _:
            return Formula(from_math(node, attributes), is_display(attributes))


def from_math(node: LexborNode, attributes: Attributes) -> str:
    """Return the text of a ``math`` element."""
    source = _annotation(node) or attributes.get("alttext") or attributes.get("data-latex")
    return tex(source) if source else linear(node)


def is_display(attributes: Attributes) -> bool:
    """True if a ``math`` or ``mjx-container`` element stands on a line of its own."""
    return attributes.get("display") in ("block", "true") or attributes.get("mode") == "display"


def is_source(attributes: Attributes) -> bool:
    """True if a ``script`` element holds a formula."""
    return (attributes.get("type") or "").strip().lower().startswith(("math/", "text/latex", "text/tex"))


def from_text(node: LexborNode, attributes: Attributes) -> Formula | None:
    """Return the formula of an element that holds nothing but TeX without delimiters, or None."""
    child, names = node.first_child, (attributes.get("class") or "").split()
    source = child.text_content if child is not None and child.next is None else None
    if source is None or source.lstrip().startswith(("\\(", "\\[", "$")):
        return None
    is_display = "display" in names or attributes.get("data-math-style") == "display"
    return Formula(tex(source), is_display) if is_display or not _TEX_TEXT.isdisjoint(names) else None


def _from_script(node: LexborNode, attributes: Attributes) -> Formula:
    kind, source = (attributes["type"] or "").lower(), node.text(deep=True)
    if "mml" in kind:
        math = LexborHTMLParser(source).css_first("math")
        return Formula("") if math is None else formula(math, "math", math.attributes)
    return Formula(tex(source), "display" in kind)


def _from_image(node: LexborNode, attributes: Attributes) -> Formula:
    """Return TeX or an emoji that an image stands for."""
    text = (attributes.get("alt") or "").strip()
    names = (attributes.get("class") or "").split() if text else ()
    if not _EMOJI_CLASSES.isdisjoint(names):
        return Formula(text if len(text) <= _MAX_EMOJI else "")
    if any(name.startswith(_MEDIAWIKI) for name in names):
        is_copy = node.prev is not None and kind_of(node.prev.attributes.get("class")) == "formula_source"
        return Formula("" if is_copy else tex(text), f"{_MEDIAWIKI}-display" in names)
    if not _IMAGE_CLASSES.isdisjoint(names) or (len(text) > 2 and text[0] == text[-1] == "$"):
        return Formula(tex(text))
    address = (attributes.get("src") or "")[:_MAX_SOURCE]
    drawn = _IMAGE_SOURCE.search(address) if _may_be_drawn(address) else None
    return Formula(tex(text or unquote_plus(drawn[1])) if drawn else "")


def _may_be_drawn(address: str) -> bool:
    """True if the address of an image may be that of a service that draws formulas."""
    return "?" in address and any(
        path.endswith(_SERVICES) for path in address[:_MAX_SOURCE].lower().split("?")[:-1]
    )


def _annotation(node: LexborNode) -> str:
    """Return the TeX annotation of a ``math`` element."""
    for found in node.css(_ANNOTATIONS):
        if _TEX.search(found.attributes.get("encoding") or ""):
            return found.text(deep=True)
    return ""

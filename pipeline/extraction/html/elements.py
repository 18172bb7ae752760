"""Roles of elements: what the visit of an element depends on, by its name or its number in the parser."""

from collections.abc import Mapping

from selectolax.lexbor import LexborHTMLParser, LexborNode

from pipeline.extraction.html.markup import BLOCK_LEVEL, NOT_TEXT, PREFORMATTED

SPECIAL = frozenset(
    (
        *("code", "d-math", "dialog", "img", "ins", "m:math", "math", "mjx-container", "mml:math"),
        *("object", "q", "rt", "script", "sub", "sup", "table", "template", *PREFORMATTED),
    )
)
"""Elements whose name requires more than a visit of their children."""
OMITTED, IS_SPECIAL, IS_BLOCK = 1, 2, 4
"""Bits of a role; all other elements have role 0."""
_ROLES = dict.fromkeys((*NOT_TEXT, "-comment"), OMITTED) | {
    tag: IS_SPECIAL * (tag in SPECIAL) | IS_BLOCK * (tag in BLOCK_LEVEL) for tag in SPECIAL | BLOCK_LEVEL
}
_INLINE = ("a", "abbr", "b", "br", "em", "font", "i", "picture", "small", "span", "strong", "time", "u")
"""Frequent elements with role 0."""
_MAX_NUMBER = 1023
"""The parser numbers the elements that it knows; the numbers of others are larger and differ by page."""


def tag_and_role(node: LexborNode) -> tuple[str, int]:
    """Return an element's name and role."""
    tag = node.tag or ""
    return tag, _ROLES.get(tag, 0)


def _by_number() -> Mapping[int, tuple[str, int]]:
    make = LexborHTMLParser("").create_node
    # Names in lower case only: clippath and clipPath (in SVG) have one number.
    nodes = [make(tag) for tag in (*_ROLES, *_INLINE) if tag.islower() and tag.isalnum()]
    return {node.tag_id: tag_and_role(node) for node in nodes if node.tag_id <= _MAX_NUMBER}


BY_NUMBER = _by_number()
"""Name and role of frequent elements by number, which is read from a node in half the time of the name."""

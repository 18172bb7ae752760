"""How deep a page nests its containers: parsers take time quadratic in it."""

import re

_CONTAINER = re.compile(r"<(/?)(?:div|article)\b", re.IGNORECASE)
_BEGINS = ("<div", "<article", "<DIV", "<ARTICLE")


def nesting(html: str, allowed: int) -> int:
    """How deep containers are nested, taking every one that is not closed as open to the end.

    0 for a page with so few containers that they cannot exceed ``allowed``.
    """
    if sum(map(html.count, _BEGINS)) <= allowed:
        return 0
    depth = deepest = 0
    for container in _CONTAINER.finditer(html):
        depth = max(0, depth - 1) if container.group(1) else depth + 1
        deepest = max(deepest, depth)
    return deepest

"""A limit on the nesting depth of containers, because parsers take time quadratic in it."""

import re

from pipeline.ledger import Drop, Reason

MAX_NESTING = 512
"""The same limit as in browsers' parsers."""

_CONTAINER = re.compile(r"<(/?)(?:div|article)\b", re.IGNORECASE | re.ASCII)


def check_nesting(html: str) -> Drop | None:
    """Return a drop if a page nests containers too deeply; an unclosed container stays open to the end."""
    containers = _CONTAINER.findall(html)
    if containers.count("") <= MAX_NESTING:
        return None
    depth = deepest = 0
    for closing in containers:
        depth = max(0, depth - 1) if closing else depth + 1
        deepest = max(deepest, depth)
    return Drop(Reason.NESTING, deepest, MAX_NESTING) if deepest > MAX_NESTING else None

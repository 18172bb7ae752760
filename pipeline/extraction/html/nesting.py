"""A bound on how deep a page nests its containers: parsers take time quadratic in it."""

import re

from pipeline.ledger import Drop, Reason

MAX_NESTING = 512
"""As in browsers' parsers."""

_CONTAINER = re.compile(r"<(/?)(?:div|article)\b", re.IGNORECASE | re.ASCII)


def too_deep(html: str) -> Drop | None:
    """Why a page is not parsed: every container that is not closed is open to the end."""
    containers = _CONTAINER.findall(html)
    if containers.count("") <= MAX_NESTING:
        return None
    depth = deepest = 0
    for closing in containers:
        depth = max(0, depth - 1) if closing else depth + 1
        deepest = max(deepest, depth)
    return Drop(Reason.NESTING, deepest, MAX_NESTING) if deepest > MAX_NESTING else None

"""A bound on how deep a page nests its containers: parsers take time quadratic in it."""

import re

from pipeline.ledger import Drop, Reason

MAX_NESTING = 512
"""As in browsers' parsers."""

_CONTAINER = re.compile(r"<(/?)(?:div|article)\b", re.IGNORECASE)


def too_deep(html: str) -> Drop | None:
    """Why a page is not parsed, taking every container that is not closed as open to the end."""
    depth = deepest = 0
    for container in _CONTAINER.finditer(html):
        depth = max(0, depth - 1) if container.group(1) else depth + 1
        deepest = max(deepest, depth)
    return Drop(Reason.NESTING, deepest, MAX_NESTING) if deepest > MAX_NESTING else None

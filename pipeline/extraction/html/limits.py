"""Limits on nesting and attributes, because parsers take time quadratic in both."""

import re

import numpy as np

from pipeline.ledger import Drop, Reason

MAX_NESTING = 512
"""The same limit as in browsers' parsers."""
_FEW_TAGS = 8192
"""Number of tags up to which no nesting takes much time."""
_MAX_ATTRIBUTES = 4096
_WINDOW = 16_384
"""Characters between the places where the end of a tag is looked for."""

_CONTAINER = re.compile(
    rb"<(/?)(?:div|article|section|main|aside|nav|header|footer|ul|ol|dl|menu|dir|pre|listing|blockquote"
    rb"|details|figure|fieldset|form|center|address|hgroup|dialog|summary|search)\b"
)
"""Matches in lower-case pages, because ignoring case here would take longer."""
_TAG_NAME = re.compile(r"<[a-z][\w:-]*(?=\s[^;(){}]{100})", re.IGNORECASE | re.ASCII)
"""Matches the start of a tag, not of scripts that compare values."""
_ATTRIBUTE = re.compile(r"""[^\s=/"']+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"']+))?""")


def check_nesting(page: bytes) -> Drop | None:
    """Return a drop if a page nests containers too deeply; an unclosed container stays open to the end.

    ``page`` is in UTF-8 or another encoding that contains ASCII.
    """
    if np.count_nonzero(np.frombuffer(page, np.uint8) == ord("<")) <= _FEW_TAGS:  # faster than bytes.count
        return None
    depth = deepest = 0
    for closing in _CONTAINER.findall(page.lower()):
        depth = max(0, depth - 1) if closing else depth + 1
        deepest = max(deepest, depth)
    return Drop(Reason.NESTING, deepest, MAX_NESTING) if deepest > MAX_NESTING else None


def limit_attributes(html: str) -> str:
    """Return the page, in which tags with too many attributes have none."""
    parts, copied, position = [], 0, 0
    while position + _WINDOW < len(html):
        end = html.find(">", position, position + _WINDOW)
        if end >= 0:
            position += _WINDOW
            continue
        end = html.find(">", position + _WINDOW)
        end = len(html) if end < 0 else end
        start = max(copied, html.rfind("<", copied, end))
        name = _TAG_NAME.match(html, start, end) if html.find(">", start, end) < 0 else None
        if name and len(_ATTRIBUTE.findall(html, name.end(), end)) > _MAX_ATTRIBUTES:
            parts.append(html[copied : name.end()])
            copied = end
        position = end
    return "".join((*parts, html[copied:])) if parts else html

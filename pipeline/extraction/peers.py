"""HTML to its main content by other projects' extractors, as they come."""

import re

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from pipeline.ledger import Drop, Reason

MAX_NESTING = 512
"""Deepest nesting of containers, as in browsers' parsers. Resiliparse's time is quadratic in it."""

_CONTAINER = re.compile(r"<(/?)(?:div|article)\b", re.IGNORECASE)


def resiliparse(html: str, _url: str = "") -> tuple[str, str] | Drop:
    """A page's main text and title by Resiliparse (Bevendorff et al., ECIR 2018).

    Paragraphs, headings, list items, table rows and lines of code are lines of their own. Link targets,
    alternative texts, form fields and hidden elements are left out.
    """
    if (depth := _nesting(html)) > MAX_NESTING:
        return Drop(Reason.NESTING, depth, MAX_NESTING)
    tree = HTMLTree.parse(html)
    text = extract_plain_text(
        tree,
        preserve_formatting=True,
        main_content=True,
        alt_texts=False,
        links=False,
        form_fields=False,
        noscript=False,
    )
    return text, tree.title or ""


def trafilatura(html: str, _url: str = "") -> tuple[str, str]:
    """A page's main text and title by trafilatura (Barbaresi, ACL 2021), with its own defaults.

    These are: its fallbacks on, tables in, links and images out, nothing deduplicated. Readers' comments,
    which it would add to the article, are left out.
    """
    # Loads half a second's worth of libraries, which other methods do not need.
    from trafilatura import extract, load_html

    tree = load_html(html)
    if tree is None:
        return "", ""
    return extract(tree, include_comments=False) or "", tree.findtext(".//title") or ""


def _nesting(html: str) -> int:
    """How deep containers are nested, taking every one that is not closed as open to the end."""
    depth = deepest = 0
    for container in _CONTAINER.finditer(html):
        depth = max(0, depth - 1) if container.group(1) else depth + 1
        deepest = max(deepest, depth)
    return deepest

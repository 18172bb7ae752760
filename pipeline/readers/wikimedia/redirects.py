"""Recognition of redirects by their wikitext, since old exports do not mark them otherwise."""

import re
from functools import cache

from core.resources import read_text

_START = re.compile(r"[\s\ufeff]*+[#＃][ \t]*+([^\[\]:\n]{1,40}?)\s*+:?\s*+\[\[")


def is_redirect(wikitext: str) -> bool:
    """True if a page begins with the redirect keyword of any language and a link, as MediaWiki requires."""
    found = _START.match(wikitext)
    return found is not None and _fold(found[1]) in _keywords()


def _fold(keyword: str) -> str:
    """Return a keyword in folded case, without the dot that Turkish capital letters keep in it."""
    return "_".join(keyword.casefold().replace("\u0307", "").split())


@cache
def _keywords() -> frozenset[str]:
    """Return the keywords of all languages of MediaWiki 1.39, without the number sign, in folded case."""
    return frozenset(read_text("pipeline.readers.wikimedia", "redirects.txt").split())

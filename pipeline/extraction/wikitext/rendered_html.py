"""Removal of boilerplate from HTML that MediaWiki has rendered."""

from selectolax.lexbor import LexborHTMLParser

_BOILERPLATE = (
    "style, link, figure, sup.mw-ref, sup.reference, .mw-editsection, .mw-references-wrap, .references, "
    ".reflist, .navbox, .infobox, .sinottico, .sidebar, .hatnote, .metadata, .ambox, .noprint, .thumb, "
    ".gallery, .mw-empty-elt, .mw-kartographer-maplink, #coordinates"
)


def strip_boilerplate(html: str) -> str:
    """Return the page without references, infoboxes, navigation boxes, images and notes to editors."""
    tree = LexborHTMLParser(html)
    for node in tree.css(_BOILERPLATE):
        node.decompose()
    return tree.html or ""

"""HTML as MediaWiki makes it of wikitext: what no reader of the article reads is taken out of it."""

from selectolax.lexbor import LexborHTMLParser

_FURNITURE = (
    "style, link, figure, sup.mw-ref, sup.reference, .mw-editsection, .mw-references-wrap, .references, "
    ".reflist, .navbox, .infobox, .sinottico, .sidebar, .hatnote, .metadata, .ambox, .noprint, .thumb, "
    ".gallery, .mw-empty-elt, .mw-kartographer-maplink, #coordinates"
)


def without_furniture(html: str) -> str:
    """The page without references, boxes, images and notes to editors."""
    tree = LexborHTMLParser(html)
    for node in tree.css(_FURNITURE):
        node.decompose()
    return tree.html or ""

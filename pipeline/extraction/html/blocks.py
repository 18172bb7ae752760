"""An HTML page as blocks: runs of text between block-level tags, in document order.

One pass of lexbor over the page and one walk over its nodes. What is never text is passed over; ``noscript``
is not, for some forums serve their whole text there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from selectolax.lexbor import LexborDocumentOptions, LexborHTMLParser, LexborNode

NOT_TEXT = frozenset(
    (
        *("script", "style", "svg", "math", "template", "head", "iframe", "object", "canvas", "video"),
        *("audio", "select", "datalist", "map"),
    )
)
"""Elements that are passed over with all that is in them."""
BLOCK_LEVEL = frozenset(
    (
        *(
            "address",
            "article",
            "aside",
            "blockquote",
            "body",
            "button",
            "caption",
            "center",
            "dd",
            "details",
        ),
        *(
            "dialog",
            "dir",
            "div",
            "dl",
            "dt",
            "fieldset",
            "figcaption",
            "figure",
            "footer",
            "form",
            "h1",
            "h2",
        ),
        *("h3", "h4", "h5", "h6", "header", "hgroup", "hr", "html", "label", "legend", "li", "main", "menu"),
        *("nav", "noscript", "ol", "option", "p", "pre", "section", "summary", "table", "tbody", "td"),
        *("textarea", "tfoot", "th", "thead", "tr", "ul"),
    )
)
_RARE = frozenset(("role", "itemprop"))
"""Attributes that are read beside class and id."""
BREAK = "\u2028"
"""Where ``br`` breaks a line; line feeds are white space."""


@dataclass(slots=True)
class Blocks:
    """The blocks of a page and the block-level elements around them.

    An element's blocks are neighbours: ``counts[element]`` of them from ``firsts[element]`` on. Element 0 is
    the body; a parent's number is smaller than its children's.
    """

    title: str = ""
    texts: list[str] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    """The element that each block lies in directly."""
    linked: list[int] = field(default_factory=list)
    """Characters in links."""
    tags: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    """Class, id, role and itemprop of each element, as they stand."""
    parents: list[int] = field(default_factory=list)
    """-1 for the body."""
    firsts: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def ancestors(self, block: int) -> Iterator[int]:
        """The elements around a block, from its owner up."""
        element = self.owners[block]
        while element >= 0:
            yield element
            element = self.parents[element]


class _Walk:
    """The state of the walk over a page's nodes."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        self._pieces: list[str] = []
        self._owner = 0
        self._linked = self._breaks = 0
        self._fresh = True
        """A block-level element began since the last piece of text."""

    def begin(self, tag: str, parent: int, attributes: dict[str, str | None]) -> int:
        """Note a block-level element; its number."""
        blocks = self.blocks
        blocks.tags.append(tag)
        blocks.names.append(_names(attributes) if attributes else "")
        blocks.parents.append(parent)
        blocks.firsts.append(len(blocks.texts) + bool(self._pieces))
        self._fresh = True
        return len(blocks.tags) - 1

    def line_break(self) -> None:
        """One breaks the line; two in a row, the block."""
        self._breaks += 1

    def text(self, space: str, text: str, element: int, linked: bool) -> None:
        """A piece of text, directly or by inline elements in ``element``, and the white space before it."""
        if self._fresh or element != self._owner or self._breaks > 1:
            self.end()
            self._owner, self._fresh = element, False
        elif space or self._breaks:
            self._pieces.append(BREAK if self._breaks else space)
        self._breaks = 0
        self._pieces.append(text)
        if linked:
            self._linked += len(text)

    def end(self) -> None:
        """The block is complete."""
        if self._pieces:
            blocks = self.blocks
            blocks.texts.append("".join(self._pieces).strip())
            blocks.owners.append(self._owner)
            blocks.linked.append(self._linked)
            self._pieces = []
        self._linked = self._breaks = 0

    def count(self) -> None:
        """Fill in each element's number of blocks."""
        blocks = self.blocks
        counts = [0] * len(blocks.tags)
        for owner in blocks.owners:
            counts[owner] += 1
        for element in range(len(counts) - 1, 0, -1):
            counts[blocks.parents[element]] += counts[element]
        blocks.counts = counts


def read(html: str | bytes) -> Blocks:
    """Parse a page, bytes as UTF-8; no blocks if it has no body. Time and memory are linear in its length."""
    tree = LexborHTMLParser(html, options=LexborDocumentOptions.WO_EVENTS)
    title = tree.css_first("title")
    blocks = Blocks(title.text() if title else "")
    if tree.body is not None:
        walk = _Walk(blocks)
        _over(tree.body, walk)
        walk.end()
        walk.count()
    return blocks


def _over(body: LexborNode, walk: _Walk) -> None:
    """Visit the nodes in document order; of each, only what is asked for becomes a Python object."""
    element, linked, space = walk.begin("body", -1, body.attributes), False, ""
    # Of each element that was entered: what follows it, and the place of what follows.
    above: list[tuple[LexborNode | None, int, bool]] = []
    node = body.first_child
    while node or above:
        if not node:
            node, element, linked = above.pop()
            continue
        text = node.text_content
        if text is not None:
            if not text or text.isspace():
                space += text
            else:
                walk.text(space, text, element, linked)
                space = ""
        elif (tag := node.tag or "") == "br":
            walk.line_break()
        elif tag not in NOT_TEXT:
            inside = walk.begin(tag, element, node.attributes) if tag in BLOCK_LEVEL else element
            if child := node.first_child:
                above.append((node.next, element, linked))
                node, element, linked = child, inside, linked or tag == "a"
                continue
        node = node.next


def _names(attributes: dict[str, str | None]) -> str:
    get = attributes.get
    name = f"{get('class') or ''} {get('id') or ''}"
    if _RARE.isdisjoint(attributes):
        return name
    if role := get("role"):
        name = f"{name} role={role}"
    if property_ := get("itemprop"):
        name = f"{name} prop={property_}"
    return name

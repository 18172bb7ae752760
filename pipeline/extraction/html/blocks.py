"""Segmentation of an HTML page into blocks: runs of text between block-level tags, in document order.

The page is parsed once by lexbor and its nodes are visited once. Elements that never hold text are skipped.
``noscript`` is not skipped, because some forums serve their whole text in it.
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
"""Elements that are skipped with all their content."""
BLOCK_LEVEL = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "button", "caption", "center", "dd"),
        *("details", "dialog", "dir", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer"),
        *("form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "html", "label", "legend"),
        *("li", "main", "menu", "nav", "noscript", "ol", "option", "p", "pre", "section", "summary"),
        *("table", "tbody", "td", "textarea", "tfoot", "th", "thead", "tr", "ul"),
    )
)
_RARE = frozenset(("role", "itemprop"))
"""Attributes that are read in addition to class and id."""
BREAK = "\u2028"
"""Stands for a line break by ``br``; line feeds in HTML are white space."""


@dataclass(slots=True)
class Blocks:
    """The blocks of a page and the block-level elements around them.

    The blocks of an element are contiguous: ``counts[element]`` blocks, starting with ``firsts[element]``.
    Element 0 is the body; a parent's index is smaller than those of its children.
    """

    title: str = ""
    texts: list[str] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    """The innermost block-level element of each block."""
    linked: list[int] = field(default_factory=list)
    """Number of characters in links, by block."""
    tags: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    """The element's name: its class, id, role and itemprop, unchanged."""
    parents: list[int] = field(default_factory=list)
    """The parent of each element; -1 for the body."""
    firsts: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def ancestors(self, block: int) -> Iterator[int]:
        """Yield the elements that contain a block, innermost first."""
        element = self.owners[block]
        while element >= 0:
            yield element
            element = self.parents[element]


class _BlockBuilder:
    """Collects blocks and elements while a page's nodes are visited."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        self._parts: list[str] = []
        self._owner = 0
        self._linked = self._breaks = 0
        self._element_opened = True
        """True if a block-level element was opened since the last text."""

    def open_element(self, tag: str, parent: int, attributes: dict[str, str | None]) -> int:
        """Add a block-level element and return its index."""
        blocks = self.blocks
        blocks.tags.append(tag)
        blocks.names.append(_element_name(attributes) if attributes else "")
        blocks.parents.append(parent)
        blocks.firsts.append(len(blocks.texts) + bool(self._parts))
        self._element_opened = True
        return len(blocks.tags) - 1

    def line_break(self) -> None:
        """Record a ``br``: a single one breaks the line, two in a row end the block."""
        self._breaks += 1

    def text(self, space: str, text: str, element: int, linked: bool) -> None:
        """Add a text node in block-level element ``element``, and the white space before it."""
        if self._element_opened or element != self._owner or self._breaks > 1:
            self.end_block()
            self._owner, self._element_opened = element, False
        elif space or self._breaks:
            self._parts.append(BREAK if self._breaks else space)
        self._breaks = 0
        self._parts.append(text)
        if linked:
            self._linked += len(text)

    def end_block(self) -> None:
        """Complete the current block, if it has text."""
        if self._parts:
            blocks = self.blocks
            blocks.texts.append("".join(self._parts).strip())
            blocks.owners.append(self._owner)
            blocks.linked.append(self._linked)
            self._parts = []
        self._linked = self._breaks = 0

    def count_blocks(self) -> None:
        """Compute the number of blocks of each element."""
        blocks = self.blocks
        counts = [0] * len(blocks.tags)
        for owner in blocks.owners:
            counts[owner] += 1
        for element in range(len(counts) - 1, 0, -1):
            counts[blocks.parents[element]] += counts[element]
        blocks.counts = counts


def parse_blocks(html: str | bytes) -> Blocks:
    """Parse a page into blocks; bytes are decoded as UTF-8. Time and memory are linear in its length."""
    tree = LexborHTMLParser(html, options=LexborDocumentOptions.WO_EVENTS)
    title = tree.css_first("title")
    blocks = Blocks(title.text() if title else "")
    if tree.body is not None:
        builder = _BlockBuilder(blocks)
        _visit(tree.body, builder)
        builder.end_block()
        builder.count_blocks()
    return blocks


def _visit(body: LexborNode, builder: _BlockBuilder) -> None:
    """Visit the nodes in document order, creating Python objects only for the properties that are read."""
    element, linked, space = builder.open_element("body", -1, body.attributes), False, ""
    # For each open element: its next sibling, and that sibling's block-level element and link state.
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
                builder.text(space, text, element, linked)
                space = ""
        elif (tag := node.tag or "") == "br":
            builder.line_break()
        elif tag not in NOT_TEXT:
            inner = builder.open_element(tag, element, node.attributes) if tag in BLOCK_LEVEL else element
            if child := node.first_child:
                above.append((node.next, element, linked))
                node, element, linked = child, inner, linked or tag == "a"
                continue
        node = node.next


def _element_name(attributes: dict[str, str | None]) -> str:
    get = attributes.get
    name = f"{get('class') or ''} {get('id') or ''}"
    if _RARE.isdisjoint(attributes):
        return name
    if role := get("role"):
        name = f"{name} role={role}"
    if property_ := get("itemprop"):
        name = f"{name} prop={property_}"
    return name

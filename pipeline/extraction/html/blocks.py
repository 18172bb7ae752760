"""Blocks of an HTML page: runs of text between block-level tags, in document order, and their elements."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

BREAK = "\u2028"
"""Stands for a line break by ``br``; line feeds in HTML are white space."""
_WHITE_SPACE = " \t\n\r\f" + BREAK


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
    preformatted: list[bool] = field(default_factory=list)
    """True for blocks whose line breaks and blanks are shown as they are."""
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


class BlockBuilder:
    """Collects blocks and elements while a page's nodes are visited."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        self.space = ""
        """White space since the last text."""
        self._parts: list[list[str]] = []
        """The parts of the text of each block."""
        self._owner = self._breaks = 0
        self._element_opened = True
        """True if a block-level element was opened since the last text."""

    def open_element(self, tag: str, parent: int, attributes: Mapping[str, str | None]) -> int:
        """Add a block-level element and return its index."""
        name = ""
        if attributes:
            get = attributes.get
            name = f"{get('class') or ''} {get('id') or ''}"
            if "role" in attributes or "itemprop" in attributes:
                name = _with_role(name, attributes)
        blocks = self.blocks
        blocks.tags.append(tag)
        blocks.names.append(name)
        blocks.parents.append(parent)
        blocks.firsts.append(len(self._parts))
        self._element_opened = True
        return len(blocks.tags) - 1

    def line_break(self) -> None:
        """Record a ``br``: a single one breaks the line, two in a row end the block."""
        self._breaks += 1

    def new_line(self) -> None:
        """Start a new line, unless one has been started."""
        self._breaks = max(self._breaks, 1)

    def text(self, text: str, element: int, linked: bool) -> None:
        """Add text in block-level element ``element``, after the white space before it."""
        if self._element_opened or element != self._owner or self._breaks > 1:
            self._owner, self._element_opened = element, False
            self._add(text, element, len(text) if linked else 0, False)
        else:
            if self.space or self._breaks:
                self._parts[-1].append(BREAK if self._breaks else self.space)
            self._parts[-1].append(text)
            if linked:
                self.blocks.linked[-1] += len(text)
        self.space, self._breaks = "", 0

    def text_before(self, element: int, length: int) -> str:
        """Return the end of the text that the next text in ``element`` would directly follow."""
        if self.space or self._breaks or self._element_opened or element != self._owner:
            return ""
        return "".join(self._parts[-1][-length:])[-length:]

    def preformatted(self, text: str, element: int, linked: int) -> None:
        """Add a block whose lines stand as they are."""
        self._add(text, element, linked, True)
        self._element_opened = True
        self.space, self._breaks = "", 0

    def _add(self, text: str, owner: int, linked: int, preformatted: bool) -> None:
        """Start a block."""
        blocks = self.blocks
        self._parts.append([text])
        blocks.owners.append(owner)
        blocks.linked.append(linked)
        blocks.preformatted.append(preformatted)

    def finish(self) -> None:
        """Complete the texts, and count the blocks of the elements."""
        blocks = self.blocks
        blocks.texts = [
            parts[0] if preformatted else "".join(parts).strip(_WHITE_SPACE)
            for parts, preformatted in zip(self._parts, blocks.preformatted, strict=True)
        ]
        counts = [0] * len(blocks.tags)
        for owner in blocks.owners:
            counts[owner] += 1
        # From last to first, so that an element's count is complete when it is added to its parent's.
        for parent, count in zip(blocks.parents[:0:-1], reversed(counts), strict=False):
            counts[parent] += count
        blocks.counts = counts


def _with_role(name: str, attributes: Mapping[str, str | None]) -> str:
    """Return an element's name with its rare parts."""
    if role := attributes.get("role"):
        name = f"{name} role={role}"
    if property_ := attributes.get("itemprop"):
        name = f"{name} prop={property_}"
    return name

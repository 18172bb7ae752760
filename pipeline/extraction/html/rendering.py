"""Rendering of selected blocks as plain text."""

from collections import Counter
from collections.abc import Sequence

from pipeline.extraction.html.blocks import BREAK, Blocks

_ITEMS = frozenset(("li", "dt", "dd"))
_CELLS = frozenset(("td", "th"))
_LONG_CELL = 400
"""Characters of the longest cell with several blocks that is written on one line."""


def render(blocks: Blocks, selected: Sequence[int]) -> str:
    """Return the text of blocks: a blank line between paragraphs, a line break between list items.

    A table row is one line, with vertical bars between its cells, unless it arranges long texts or code.
    """
    cells = _nearest(blocks, _CELLS) if "tr" in blocks.tags else []
    rows, items = _rows_and_items(blocks, selected, cells)
    parts: list[str] = []
    previous, previous_item, was_item = -1, -1, False
    for block in selected:
        owner = blocks.owners[block]
        row, item = rows[owner], items[owner]
        is_item = row >= 0 or item >= 0
        if previous >= 0:
            if row >= 0 and row == rows[previous]:
                parts.append(" " if cells[owner] == cells[previous] else " | ")
            else:
                parts.append("\n" if is_item and was_item else "\n\n")
        if item != previous_item and item >= 0 and blocks.tags[item] == "li":
            parts.append("- ")
        text = blocks.texts[block]
        if not blocks.preformatted[block]:
            text = _collapse(text, owner == previous)
        parts.append(text.replace("\n", " ") if row >= 0 else text)
        previous, previous_item, was_item = owner, item, is_item
    return "".join(parts)


def _nearest(blocks: Blocks, tags: frozenset[str]) -> list[int]:
    """Return, for each element, the nearest element around it or itself that has one of the tags, or -1."""
    # The last entry, which index -1 reaches, belongs to the parent of the body.
    nearest = [-1] * (len(blocks.tags) + 1)
    for element, (tag, parent) in enumerate(zip(blocks.tags, blocks.parents, strict=True)):
        nearest[element] = element if tag in tags else nearest[parent]
    return nearest


def _rows_and_items(
    blocks: Blocks, selected: Sequence[int], cells: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Return, for each element, the table row and the list item that it is in, or -1."""
    items = _nearest(blocks, _ITEMS)
    if not cells:
        return [-1] * len(items), items
    rows = _nearest(blocks, frozenset(("tr",)))
    layout = {rows[parent] for tag, parent in zip(blocks.tags, blocks.parents, strict=True) if tag == "tr"}
    counts, lengths = Counter[int](), Counter[int]()
    for block in selected:
        cell = cells[owner := blocks.owners[block]]
        counts[cell] += 1
        lengths[cell] += len(blocks.texts[block])
        if (counts[cell] > 1 and lengths[cell] > _LONG_CELL) or (
            blocks.preformatted[block] and "\n" in blocks.texts[block]
        ):
            layout.add(rows[owner])
    return [-1 if row in layout else row for row in rows], items


def _collapse(text: str, is_continued: bool) -> str:
    """Collapse white space as a browser does, except that no-break spaces count only as indentation.

    They indent lines of a text with several lines, of which ``is_continued`` is true for all but the first.
    """
    # Nothing to collapse in most texts: of all white space, only the ASCII space is printable.
    if text.isprintable() and "  " not in f" {text} ":
        return text
    lines = text.split(BREAK)
    if "\u00a0\u00a0" in text and (is_continued or len(lines) > 1):
        return "\n".join([_indentation(line) + " ".join(line.split()) for line in lines])
    return "\n".join([" ".join(line.split()) for line in lines])


def _indentation(line: str) -> str:
    blanks = line[: len(line) - len(line.lstrip())].lstrip(" \t\n\r\f")
    return " " * len(blanks) if "\u00a0\u00a0" in blanks else ""

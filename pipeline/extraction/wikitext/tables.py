"""Wikitext tables as readable text: one line per row, cells separated by bars."""

import re

_BOILERPLATE = re.compile(
    r"\b(?:navbox|infobox|sinottico|toccolours|toc|ambox|mbox|metadata|navigation|noprint|vertical-navbox|sidebar)",
    re.IGNORECASE,
)
_LINE_MARKUP = re.compile(r"[ \t:*#;]*")


def format_table(content: str) -> str:
    """Return the rows of a table, given without its brackets and with inner brackets resolved.

    The lines of a cell are joined, except in a row with a single cell. Navigation boxes and infoboxes yield
    an empty string.
    """
    lines = content.split("\n")
    if _BOILERPLATE.search(lines[0]):
        return ""
    rows: list[list[str]] = [[]]
    for line in lines[1:]:
        stripped = line.strip()
        if stripped.startswith("|-"):
            rows.append([])
        elif stripped.startswith("|+"):
            rows.insert(0, [_without_attributes(stripped[2:])])
        elif stripped.startswith(("|", "!")):
            marks = r"\|\||!!" if stripped[0] == "!" else r"\|\|"
            first = stripped[1:].removeprefix("|")
            rows[-1] += [_without_attributes(cell) for cell in re.split(marks, first)]
        elif rows[-1]:
            rest, *following = line.split("||")
            rows[-1][-1] += "\n" + rest
            rows[-1] += [_without_attributes(cell) for cell in following]
    texts = [_format_row(row) for row in rows]
    return "\n\n" + "\n".join(text for text in texts if text) + "\n\n"


def _without_attributes(cell: str) -> str:
    """Return a cell's content, without the attributes before its bar."""
    head, bar, rest = cell.partition("|")
    return (rest if bar and "=" in head and "\n" not in head else cell).strip()


def _format_row(cells: list[str]) -> str:
    filled = [cell.strip() for cell in cells if cell.strip()]
    if len(filled) == 1:
        return filled[0]
    joined = (" ".join(_LINE_MARKUP.sub("", line, count=1) for line in cell.split("\n")) for cell in cells)
    return " | ".join(" ".join(cell.split()) for cell in joined) if filled else ""

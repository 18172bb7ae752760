"""Wikitext tables as readable text: one line for each row, cells apart by bars."""

import re

_FURNITURE = re.compile(
    r"\b(?:navbox|infobox|sinottico|toccolours|toc|ambox|mbox|metadata|navigation|noprint|vertical-navbox|sidebar)",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"[ \t:*#;]*")


def table(content: str) -> str:
    """The rows of a table, whose brackets are off and whose inner brackets are resolved.

    A cell's own lines are joined; a row of one cell keeps them. Navigation boxes are nothing.
    """
    lines = content.split("\n")
    if _FURNITURE.search(lines[0]):
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
    texts = [_row(row) for row in rows]
    return "\n\n" + "\n".join(text for text in texts if text) + "\n\n"


def _without_attributes(cell: str) -> str:
    """What a cell holds, without what stands before its bar."""
    head, bar, rest = cell.partition("|")
    return (rest if bar and "=" in head and "\n" not in head else cell).strip()


def _row(cells: list[str]) -> str:
    filled = [cell.strip() for cell in cells if cell.strip()]
    if len(filled) == 1:
        return filled[0]
    joined = (" ".join(_MARKUP.sub("", line, count=1) for line in cell.split("\n")) for cell in cells)
    return " | ".join(" ".join(cell.split()) for cell in joined) if filled else ""

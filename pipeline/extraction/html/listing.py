"""Listings: the lines of program code, with their indentation and without line numbers.

Highlighters write lines as text, ``br``, ``div``, list items, table rows or ``span``; line numbers stand in a
column of their own or at the start of each line. Here all of them become lines of text.
"""

import re
from typing import NamedTuple

from selectolax.lexbor import LexborNode

from pipeline.extraction.html import formulas, scripts
from pipeline.extraction.html.blocks import BREAK
from pipeline.extraction.html.markup import kind_of
from pipeline.extraction.html.visibility import HIDING, Display, display

_LINES = frozenset(
    ("div", "p", "li", "tr", "ol", "ul", "table", "tbody", "thead", "figure", "pre", "dt", "dd")
)
_STRUCTURE = frozenset(("table", "tbody", "thead", "tr", "ol", "ul", "colgroup"))
"""Elements in which blank text has no meaning."""
_OMITTED = frozenset(
    (
        *("button", "iframe", "img", "input", "noscript", "script", "select", "style", "svg", "template"),
        *("textarea", "thead"),
    )
)
_NOT_CODE = frozenset(
    (
        *("article", "aside", "body", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "main"),
        *("nav", "section"),
    )
)
"""Elements that no listing holds, but for example a ``pre`` that was not closed."""
_NO_WORDS = re.compile(r"[\s\d.:|]*")
_ZERO_WIDTH_SPACE, _NO_BREAK_SPACE = "\u200b", "\u00a0"
_START, _END = "\ufdd0", "\ufdd1"
"""Noncharacters that enclose elements without words at the start of a line."""
_MARKED = re.compile(f"{_START}([^{_END}]*){_END}")
_NUMBERED_LINE = re.compile(rf"\s*{_START}\s*(\d+)[.:|]?\s*{_END}")


class Listing(NamedTuple):
    """The text of a listing."""

    text: str
    linked: int
    """Number of characters in links."""

    @property
    def is_line_numbers(self) -> bool:
        """True if the lines are at least two consecutive numbers."""
        return _are_consecutive(self.text)


class _Opened(NamedTuple):
    """The state of the listing when an element was opened, and what the element is."""

    position: int
    pending: bool
    at_line_start: bool
    is_line: bool
    kind: str
    """The kind of its class, ``line_number`` for any line number, ``code`` for the element of this name."""


def listing(root: LexborNode, not_code: frozenset[str] = frozenset()) -> Listing | None:
    """Return the text of an element that holds a listing, or None if it holds something else.

    It does if one of its elements is in ``not_code``, or of a kind that no listing holds. Outside ``pre``, a
    line break in the source right after a ``br`` has no effect.
    """
    lines = _Lines(root.tag not in ("pre", "xmp", "listing"))
    stack: list[tuple[LexborNode | None, _Opened | None, bool, bool]] = []
    node, linked, in_structure = root.first_child, False, root.tag in _STRUCTURE
    while node is not None or stack:
        if node is None:
            node, opened, linked, in_structure = stack.pop()
            if opened:
                lines.close(opened)
            continue
        text = node.text_content
        if text is not None:
            if not (in_structure and text.isspace()):
                lines.add(text, linked)
        elif (tag := node.tag or "") == "br":
            lines.break_line()
        elif tag in _NOT_CODE or tag in not_code or (tag == "pre" and root.tag == "pre"):
            return None
        elif tag == "math":
            lines.add(formulas.from_math(node, node.attributes), linked)
        elif tag not in _OMITTED and (found := _kind(node, tag)) is not None:
            if tag in ("sup", "sub"):
                lines.add(
                    scripts.mark(tag, lines.last(scripts.BASE_LENGTH), scripts.short_text(node), ""), linked
                )
            is_plain = found == (False, tag) and tag != "code" and not lines.is_at_line_start()
            stack.append((node.next, None if is_plain else lines.open(*found), linked, in_structure))
            node, linked, in_structure = node.first_child, linked or tag == "a", tag in _STRUCTURE
            continue
        node = node.next
    return Listing(lines.finish(), lines.linked)


def is_code_table(table: LexborNode) -> bool:
    """True if the first row of a table has a line of code in one of its cells."""
    row = _first_row(table)
    cell, has_number = row.first_child if row is not None else None, False
    while cell is not None:
        attributes, child = cell.attributes, cell.first_child
        if kind_of(attributes.get("class")) in ("code_cell", "line_number"):
            return True
        if "style" in attributes and display("td", attributes) is Display.PREFORMATTED:
            return True
        if child is not None and child.next is None:
            if has_number and child.tag == "pre":
                return True
            has_number = scripts.short_text(cell) == "1"
        cell = cell.next
    return False


def is_number(node: LexborNode) -> bool:
    """True if an element holds nothing but numbers."""
    return _NO_WORDS.fullmatch(node.text(deep=True)) is not None


def _first_row(table: LexborNode) -> LexborNode | None:
    node = table.first_child
    while node is not None and node.tag != "tr":
        node = node.first_child if node.tag in ("tbody", "thead") and node.first_child else node.next
    return node


def _kind(node: LexborNode, tag: str) -> tuple[bool, str] | None:
    """Return whether an element is a line of its own, and its kind; None if it is not visible code."""
    attributes, is_line = node.attributes, tag in _LINES
    kind = kind_of(attributes.get("class"))
    if kind in ("code_control", "screen_reader_only"):
        return None
    if "line_number" in kind or "data-line-number" in attributes:
        kind = "line_number"
    if not HIDING.isdisjoint(attributes):
        shown = display(tag, attributes)
        if shown in (Display.HIDDEN, Display.INVISIBLE):
            return None
        is_line |= shown is Display.BLOCK
        if "user-select:none" in (attributes.get("style") or "").replace(" ", ""):
            kind = "line_number"
    if kind == "line_number" and tag in ("td", "th"):
        kind = "number_cell"
    if tag == "pre" and node.parent is not None and node.parent.tag in ("td", "th"):
        is_line = False  # the row is the line
    return is_line, kind or tag


class _Lines:
    """Collects the lines of a listing."""

    def __init__(self, collapse: bool) -> None:
        self.linked = 0
        self._collapse = collapse
        self._parts: list[str] = []
        self._pending = False
        """True if a line has ended without a line break."""
        self._last_words = -1
        """Index of the last part that holds anything but digits and blanks."""
        self._line_like: dict[str, list[int]] = {"code_line_like": [], "code": []}
        """Indexes of the parts that start elements of kinds which may be lines."""
        self._numbers: dict[int, int] = {}
        """For elements at the start of a line without words: the index of their first part and their end."""
        self._has_numbers = False
        """True if line numbers were omitted."""

    def add(self, text: str, linked: bool) -> None:
        """Add text as it stands; a line break right after a line of its own ends that line."""
        if self._pending:
            if text.isspace() and "\n" in text:
                text = "\n"
            elif not text.startswith("\n"):
                self._parts.append("\n")
            self._pending = False
        elif self._collapse and self._parts and self._parts[-1] == BREAK:
            text = text.removeprefix("\n")
        if not text:
            return
        if not _NO_WORDS.fullmatch(text):
            self._last_words = len(self._parts)
        self._parts.append(text)
        if linked:
            self.linked += len(text)

    def last(self, length: int) -> str:
        """Return the end of the text so far."""
        return "".join(self._parts[-length:])[-length:]

    def break_line(self) -> None:
        """Add the line break of a ``br``."""
        if self._pending:
            self._parts.append("\n")
            self._pending = False
        self._parts.append(BREAK)

    def open(self, is_line: bool, kind: str) -> _Opened:
        """Start an element; return what :meth:`close` needs."""
        if is_line or kind == "code_line":
            self._strip_indentation()
            if self._pending or not self._ends_line():
                self._parts.append("\n")
            self._pending = False
        if kind in self._line_like:
            self._line_like[kind].append(len(self._parts))
        at_line_start = self.is_at_line_start()
        return _Opened(len(self._parts), self._pending, at_line_start, is_line, kind)

    def _strip_indentation(self) -> None:
        """Remove blanks at the end: the indentation of the source before a line of its own."""
        while self._parts and self._parts[-1].isspace() and self._parts[-1][-1] not in ("\n", BREAK):
            last = self._parts.pop()
            if "\n" in last:
                self._parts.append(last[: last.rfind("\n") + 1])

    def is_at_line_start(self) -> bool:
        """True if the next text starts a line."""
        return self._pending or self._ends_line()

    def _ends_line(self) -> bool:
        return not self._parts or self._parts[-1].endswith(("\n", BREAK))

    def close(self, opened: _Opened) -> None:
        """End an element."""
        parts, start = self._parts, opened.position
        if self._last_words < start:
            if opened.kind in ("line_number", "number_cell"):
                self._has_numbers |= (
                    len(parts) > start and opened.kind == "line_number" and not opened.is_line
                )
                del parts[start:]
                self._pending = opened.pending
                return
            if len(parts) > start and opened.at_line_start and opened.kind != "code_number":
                self._numbers[start] = len(parts)
        if opened.is_line and not (len(parts) > start and self._ends_line()):
            self._pending = True
        elif opened.kind == "code_line":
            parts.append("\n")

    def finish(self) -> str:
        """Return the listing, without empty lines at its ends."""
        parts = self._parts
        if not any("\n" in part or part == BREAK for part in parts):
            parts = self._with_soft_breaks()
        self._mark_numbers(parts)
        text = self._without_numbers("".join(parts).replace(BREAK, "\n"))
        lines = ["" if line.strip() == _ZERO_WIDTH_SPACE else line for line in text.split("\n")]
        if self._has_numbers and all(line.startswith(_NO_BREAK_SPACE) for line in lines if line):
            lines = [line[1:] for line in lines]  # it separates the code from the numbers
        while lines and not lines[-1].strip():
            lines.pop()
        first = next((index for index, line in enumerate(lines) if line.strip()), 0)
        return "\n".join(lines[first:])

    def _with_soft_breaks(self) -> list[str]:
        """Return the parts, with line breaks between several elements that may be lines."""
        starts = next((starts for starts in self._line_like.values() if len(starts) > 1), [])
        parts = [*self._parts, ""]
        for start in starts:
            parts[start] = "\n" + parts[start]
        return parts

    def _mark_numbers(self, parts: list[str]) -> None:
        """Enclose the outermost elements without words that start a line in marks."""
        end = 0
        for start, stop in sorted(self._numbers.items()):
            if start < end or stop > len(parts):
                continue
            while start < stop and parts[start].isspace():
                start += 1
            while start < stop and parts[stop - 1].isspace():
                stop -= 1
            if start < stop:
                breaks = len(parts[start]) - len(parts[start].lstrip("\n"))
                parts[start] = parts[start][:breaks] + _START + parts[start][breaks:]
                parts[stop - 1] += _END
                end = stop

    def _without_numbers(self, text: str) -> str:
        """Remove columns of line numbers, and numbers that start all lines. Other numbers stay."""
        if _START not in text:
            return text
        without = _MARKED.sub(lambda found: "" if _are_consecutive(found[1]) else found[0], text)
        if without != text and not _MARKED.sub("", without).isspace():
            text = without
        lines = [line for line in text.split("\n") if line.strip()]
        numbers = [found[1] if (found := _NUMBERED_LINE.match(line)) else "" for line in lines]
        if all(numbers) and _are_consecutive("\n".join(numbers)):
            without = _MARKED.sub("", text)
            if without and not without.isspace():
                text, self._has_numbers = without, True
        return text.replace(_START, "").replace(_END, "")


def _are_consecutive(text: str) -> bool:
    """True if the lines that are not blank are consecutive numbers, at least two."""
    numbers = [line.strip() for line in text.split("\n") if line and not line.isspace()]
    if len(numbers) < 2 or not all(map(str.isdecimal, numbers)):
        return False
    first = int(numbers[0][:9])
    return numbers == [str(first + index) for index in range(len(numbers))]

"""Tell the control tokens that a chat template writes from the same text in message contents.

Names of control tokens in contents are interrupted by a mark before the template renders them, so that only
names that the template itself writes are found in the result. Templates see contents unchanged otherwise, and
may cut, split and search them.
"""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from core.tokenizer.protocol import Mark

NONCHARACTERS = tuple(chr(code) for code in range(0xFDD0, 0xFDF0))
"""Unicode characters for internal use. No text contains a given run of them by chance."""


def private_text() -> str:
    """Return a random text of Unicode noncharacters that no input can contain."""
    return "".join(secrets.choice(NONCHARACTERS) for _ in range(12))


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered conversation."""

    marked: str
    """The conversation with the marks of this module."""
    text: str
    """The conversation without marks."""
    control: list[Mark]
    """Control tokens, in order."""
    ends: list[int]
    """Positions of the mark :attr:`ControlTokens.end`."""
    generated: list[tuple[int, int]]
    """Spans of the template's ``{% generation %}`` blocks."""

    @property
    def end(self) -> int | None:
        """Position of the last mark :attr:`ControlTokens.end`."""
        return self.ends[-1] if self.ends else None

    def control_after(self, position: int) -> Mark | None:
        """Return the first control token from ``position`` on."""
        return next((mark for mark in self.control if mark.start >= position), None)

    def cut(self, end: int) -> "Rendered":
        """Return the text up to ``end``, without its spans."""
        return Rendered("", self.text[:end], [mark for mark in self.control if mark.end <= end], [], [])


class ControlTokens:
    """Marks contents for a chat template, and finds control tokens in what it renders."""

    def __init__(self, control: Mapping[str, int], special: Iterable[str]) -> None:
        """Take the control tokens' ids by name, and the names of those that no content may contain."""
        self._ids = control
        self._break, self.end = private_text(), private_text()
        """The mark that interrupts a name, and one that :meth:`find` locates."""
        self.generation = private_text(), private_text()
        """Marks at the ends of ``{% generation %}`` blocks."""
        self._all, self._special = _Names(control), _Names(special)
        marks = [self._break, self.end, *self.generation]
        self._pattern = re.compile("|".join(map(re.escape, [*marks, *_longest_first(control)])))

    def interrupt(self, content: str, *, answer: bool) -> str:
        """Interrupt the names in a message's content; of those in an answer, only the special ones.

        White space at the ends stays as it is: templates strip it.
        """
        names = self._special if answer else self._all
        before, core, after = split_white_space(content)
        return before + names.interrupt(core, self._break) + after

    def find(self, rendered: str) -> Rendered:
        """Find the marks and the control tokens in a rendered conversation."""
        parts: list[str] = []
        control: list[Mark] = []
        generated: list[tuple[int, int]] = []
        ends: list[int] = []
        length = position = start = 0
        for match in self._pattern.finditer(rendered):
            parts.append(rendered[position : match.start()])
            length += match.start() - position
            position = match.end()
            found = match[0]
            if found in self._ids:
                parts.append(found)
                control.append(Mark(length, length + len(found), self._ids[found]))
                length += len(found)
            elif found == self.end:
                ends.append(length)
            elif found == self.generation[0]:
                start = length
            elif found == self.generation[1]:
                generated.append((start, length))
        parts.append(rendered[position:])
        return Rendered(rendered, "".join(parts), control, ends, generated)


class _Names:
    """A set of names to interrupt."""

    def __init__(self, names: Iterable[str]) -> None:
        ordered = _longest_first(names)
        self._starts = re.compile(f"(?={'|'.join(map(re.escape, ordered)) or '(?!)'})")
        self._prefixes = {name[:length] for name in ordered for length in range(1, len(name))}
        self._suffixes = {name[length:] for name in ordered for length in range(1, len(name))}
        self._longest = len(ordered[0]) if ordered else 0

    def interrupt(self, content: str, mark: str) -> str:
        """Put ``mark`` into every name, and at the ends if they could be part of one."""
        limit = min(self._longest, len(content) + 1)
        at_start = any(content[:length] in self._suffixes for length in range(1, limit))
        at_end = any(content[-length:] in self._prefixes for length in range(1, limit))
        inside = [match.start() + 1 for match in self._starts.finditer(content)]
        positions = [*([0] if at_start else ()), *inside, *([len(content)] if at_end else ())]
        pieces = [content[start:end] for start, end in zip([0, *positions], [*positions, None], strict=True)]
        return mark.join(pieces)


def split_white_space(content: str) -> tuple[str, str, str]:
    """Return the white space before, the text, and the white space after it."""
    core = content.strip()
    before, _, after = content.partition(core) if core else (content, "", "")
    return before, core, after


def _longest_first(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (-len(name), name))

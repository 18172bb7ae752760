"""The patterns by which the files in ``data/templates/`` describe what a template shows.

In a pattern such as ``{1}[ ({2/alt})]``, braces hold the name of an argument, or alternatives of which the
first non-empty one is used: names, then perhaps text after an apostrophe. After ``#``, the argument is a
number. Text in brackets is omitted if an argument in it is missing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Union

from pipeline.extraction.wikitext.templates.call import Call
from pipeline.extraction.wikitext.templates.numbers import localize

_TOKEN = re.compile(r"\{(?P<number>#?)(?P<names>[^{}]*)\}|(?P<bracket>[\[\]])|(?P<text>[^\[\]{}]+)")
_MIN_GROUPED = 5
"""Digits from which on thousands are separated in prose."""


@dataclass(frozen=True, slots=True)
class _Argument:
    names: tuple[str, ...]
    default: str
    is_number: bool

    def text(self, call: Call) -> str:
        found = call.get(*self.names) or self.default
        return localize(found, call.language, _MIN_GROUPED) if self.is_number else found


_Part = Union[str, _Argument, "_Optional"]


@dataclass(frozen=True, slots=True)
class _Optional:
    parts: tuple[_Part, ...]


def fill(pattern: str, call: Call) -> str:
    """Substitute a call's arguments into a pattern.

    If all arguments are missing that the pattern has outside brackets, the result is empty.
    """
    return _fill(_parse(pattern), call, is_optional=False)


def _fill(parts: tuple[_Part, ...], call: Call, is_optional: bool) -> str:
    found: list[str] = []
    missing = present = 0
    for part in parts:
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part, _Optional):
            found.append(_fill(part.parts, call, is_optional=True))
        elif text := part.text(call):
            found.append(text)
            present += 1
        else:
            missing += 1
    is_empty = missing if is_optional else missing and not present
    return "" if is_empty else "".join(found)


@cache
def _parse(pattern: str) -> tuple[_Part, ...]:
    return _parts(_TOKEN.finditer(pattern))


def _parts(tokens: Iterator[re.Match[str]]) -> tuple[_Part, ...]:
    """Parse up to the next closing bracket, or the end."""
    found: list[_Part] = []
    for token in tokens:
        if token["bracket"] == "]":
            break
        if token["bracket"]:
            found.append(_Optional(_parts(tokens)))
        elif token["text"]:
            found.append(token["text"])
        else:
            names, _, default = token["names"].partition("/'")
            found.append(_Argument(tuple(names.split("/")), default, bool(token["number"])))
    return tuple(found)

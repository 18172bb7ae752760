"""The text of templates that are not listed.

Most templates are boilerplate, but one with a short plain argument inside a sentence almost always shows it,
and without it the sentence would have a hole.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from core.resources import read_toml
from pipeline.extraction.wikitext.templates import locales
from pipeline.extraction.wikitext.templates.call import Place

_MAX_CHARACTERS = 80
_NOT_TEXT = re.compile(
    r"[\n|{}<>=]|://|\.(?:jpe?g|png|svg|gif|ogg|webm|pdf)$|^#|^[QP]?\d{5,}$|^\d+(?:px|em|%)$", re.IGNORECASE
)
_WORDS = frozenset(
    {"left", "right", "center", "centre", "none", "yes", "no", "y", "n", "both", "clear", "all"}
)
_ORDINAL = re.compile(
    r"(?:\d{1,4}|[IVXLC]+)(?:er|re|ère|e|ème|st|nd|rd|th|[.ºª])?(?:[ ][^\W\d]{3,12})?(?:[ ]\d{4})?"
)
"""A number or ordinal, perhaps with a noun after it, such as ``{{XIXe siècle}}``."""


def guess(name: str, positional: Sequence[str], place: Callable[[], Place], language: str) -> str:
    """Return what a template that is not listed shows, an empty string if it does not seem to be text.

    ``name`` is as written on the page.
    """
    arguments = [argument for argument in positional if argument]
    text = _only_text(arguments) if arguments else _own_text(name, language, place)
    if not text or ":" in name or _silent().covers(name.lower()) or not place().is_in_sentence:
        return ""
    return text


def _own_text(name: str, language: str, place: Callable[[], Place]) -> str:
    """Return the text that a template without arguments has by its name: a country or an ordinal."""
    if len(name) == 3 and name.isupper() and (country := locales.country_name(name, language)):
        return country
    if name in locales.countries(language):
        return "" if place().is_before_name else name
    return name if _ORDINAL.fullmatch(name) else ""


def _only_text(arguments: Sequence[str]) -> str:
    """Return the only argument that is not a language code, or the first one of a link to another wiki."""
    if len(arguments) > 3:
        return ""
    words = [argument for argument in arguments if not locales.is_language_code(argument)]
    is_link = len(words) == 2 and len(arguments) == 3 and words[0] == arguments[0]
    return words[0] if (is_link or len(words) == 1) and _is_plain(words[0]) else ""


def _is_plain(text: str) -> bool:
    """True for words, false for numbers of records, names of files, colours, lengths and keywords."""
    is_short = len(text) <= _MAX_CHARACTERS and any(character.isalnum() for character in text)
    return is_short and not _NOT_TEXT.search(text) and text.lower() not in _WORDS


@dataclass(frozen=True, slots=True)
class _Silent:
    """Templates without text: references, notes to editors, navigation, images."""

    names: frozenset[str]
    beginnings: re.Pattern[str]

    def covers(self, name: str) -> bool:
        return name in self.names or self.beginnings.match(name) is not None


@cache
def _silent() -> _Silent:
    data = read_toml("pipeline.extraction.wikitext", "data/silent.toml")
    names = frozenset(name for group in data["names"].values() for name in group)
    return _Silent(names, re.compile("|".join(re.escape(each) for each in data["beginnings"])))

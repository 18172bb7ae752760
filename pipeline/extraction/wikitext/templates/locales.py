"""Names and formats of a wiki's language, from the Unicode locale data that Babel contains.

They are cached: a page may ask for thousands of them. What a page determines is cached up to a limit.
"""

import re
from collections.abc import Mapping
from datetime import date
from functools import cache, lru_cache
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_skeleton
from babel.numbers import format_decimal, get_decimal_symbol, get_group_symbol
from babel.units import format_unit

from core.resources import read_toml

_CODE = re.compile(r"[a-z]{2,3}(?:-[a-z-]{2,10})?")
_MAX_CACHED = 4096
_YEAR_MARK = re.compile(r"\s(?:г|р|ж)\.?$")
"""Abbreviation of "year", which Cyrillic wikis do not write after dates."""
_QUALIFIER = re.compile(r" (?:SAR\b.*|\(.*\))$")
_UNSPACED = re.compile(r"(?<=\d) (?=[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3])")
CJK = frozenset({"ja", "zh", "yue", "wuu", "lzh", "ko"})


@cache
def locale(language: str) -> Locale:
    """Return the locale of a wiki's language; that of English if there is none."""
    for code in (language.replace("-", "_"), language.partition("-")[0]):
        try:
            return Locale.parse(code)
        except (UnknownLocaleError, ValueError):
            continue
    return Locale("en")


@cache
def data() -> Mapping[str, Any]:
    """Return what the locale data lacks: ``data/locales.toml``."""
    return read_toml("pipeline.extraction.wikitext", "data/locales.toml")


@lru_cache(_MAX_CACHED)
def language_name(code: str, language: str) -> str:
    """Return the name of a language by its code; an empty string if it is unknown."""
    short: str = data()["languages"].get(language, {}).get(code, "")
    names = locale(language).languages
    found = short or names.get(code.replace("-", "_")) or names.get(code.partition("-")[0], "")
    return found.lower() if language == "de" else found


def is_language_code(code: str) -> bool:
    """True for a code that the locale data or the names in ``locales.toml`` contain."""
    return _CODE.fullmatch(code) is not None and bool(language_name(code, "en"))


@lru_cache(_MAX_CACHED)
def country_name(code: str, language: str) -> str:
    """Return the name of a country by its ISO, Olympic or FIFA code of three letters; empty if unknown."""
    short = data()["countries"].get(code, "")
    return _QUALIFIER.sub("", locale(language).territories.get(short, "")) if short else ""


@cache
def countries(language: str) -> frozenset[str]:
    """Return the names of all countries."""
    territories = locale(language).territories
    return frozenset(_QUALIFIER.sub("", name) for code, name in territories.items() if code.isalpha())


@cache
def separators(language: str) -> tuple[str, str]:
    """Return the separators of thousands and decimals."""
    return get_group_symbol(locale(language)), get_decimal_symbol(locale(language))


@cache
def months(language: str) -> Mapping[str, int]:
    """Return the numbers of the months by their names and abbreviations, in lower case."""
    found: dict[str, int] = {}
    for each in (locale("en"), locale(language)):
        for forms in each.months.values():
            for names in forms.values():
                found |= {name.lower().rstrip("."): month for month, name in names.items()}
    return {name: month for name, month in found.items() if not name.isdecimal()}


@lru_cache(_MAX_CACHED)
def date_text(year: int | None, month: int, day: int | None, language: str, day_first: bool = False) -> str:
    """Return a date, a month of a year or a day of a year in the language.

    Raises ValueError if there is no such date.
    """
    known = locale(language)
    value = date(2000 if year is None else year, month, day or 1)
    if year is None:
        return format_skeleton("MMMMd", value, locale=known)
    if day is None:
        return _YEAR_MARK.sub("", format_skeleton("yMMMM", value, locale=known))
    if day_first:
        return format_date(value, "d MMMM y", locale=known)
    return _YEAR_MARK.sub("", format_date(value, "long", locale=known))


@lru_cache(_MAX_CACHED)
def unit_pattern(unit: str, value: float, language: str, is_short: bool) -> str:
    """Return ``{0} метров`` and the like for a unit of the locale data, in the form that the value takes."""
    known = locale(language)
    number = format_decimal(abs(value), "0.######", locale=known)
    for length in ("short", "long", "narrow") if is_short else ("long", "short", "narrow"):
        text = format_unit(abs(value), unit, length, "0.######", locale=known)
        if unit not in text:
            break
    else:
        return ""
    if language in CJK:
        text = _UNSPACED.sub("", text)
    return text.replace(number, "{0}", 1)

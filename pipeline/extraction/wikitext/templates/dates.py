"""Dates, ages and eras in the wiki's language."""

import re
from collections.abc import Sequence
from datetime import date

from pipeline.extraction.wikitext.templates import locales
from pipeline.extraction.wikitext.templates.call import Call

_ISO = re.compile(r"(\d{4})-(\d{1,2})(?:-(\d{1,2}))?")
_DAY = re.compile(r"(\d{1,2})(?:\.|º|°|er|st|nd|rd|th)?", re.IGNORECASE)
_YEAR = re.compile(r"\d{1,4}")
_ERAS = (("令和", 2019), ("平成", 1989), ("昭和", 1926), ("大正", 1912), ("明治", 1868))
_YES = ("y", "yes", "t", "true", "1", "on")


def format_date(call: Call) -> str:
    """Format a date given as year, month and day, in whatever order and as far as they are given."""
    parts = [call.get("year", "año", "année", "jahr", "anno", "ano", "年", "1")]
    parts += [call.get("month", "mes", "mois", "monat", "mese", "mês", "月", "2")]
    parts += [call.get("day", "día", "jour", "tag", "giorno", "dia", "日", "3")]
    return _format(parts, call)


def _format(parts: Sequence[str], call: Call) -> str:
    """Return the date of three arguments; if it cannot be understood, the arguments as they are."""
    found = _parse(parts, call.language)
    if found is None:
        return " ".join(part for part in parts if part)
    year, month, day = found
    if month is None:
        return str(year)
    try:
        return locales.date_text(year, month, day, call.language, call.get("df").lower() in _YES)
    except ValueError:
        return " ".join(part for part in parts if part)


def _parse(parts: Sequence[str], language: str) -> tuple[int | None, int | None, int | None] | None:
    """Return year, month and day of three arguments in the order y-m-d, d-m-y, m-d-y or m-y."""
    first, second, third = parts
    iso = _ISO.fullmatch(first)
    if iso:
        return int(iso[1]), int(iso[2]), int(iso[3]) if iso[3] else None
    months = [_month(part, language) for part in parts]
    if not second and not third:
        return None
    if _YEAR.fullmatch(first) and (len(first) > 2 or not third) and (not second or months[1]):
        return int(first), months[1], _day(third)
    if months[1] and (not first or _day(first)) and (not third or _YEAR.fullmatch(third)):
        return int(third) if third else None, months[1], _day(first)
    if months[0] and not first.isdecimal():
        if _YEAR.fullmatch(third) and _day(second):
            return int(third), months[0], _day(second)
        if _YEAR.fullmatch(second):
            return int(second), months[0], None
    return None


def _month(text: str, language: str) -> int | None:
    """Return the number of a month given as a number or by its name."""
    if text.isdecimal():
        return int(text) if len(text) < 3 and 1 <= int(text) <= 12 else None
    return locales.months(language).get(text.lower().rstrip("."))


def _day(text: str) -> int | None:
    found = _DAY.fullmatch(text)
    return int(found[1]) if found and 1 <= int(found[1]) <= 31 else None


def death_date(call: Call) -> str:
    """Format the date of death of a template that gives the date of birth before it."""
    return _format([*call.positional[3:6], "", "", ""][:3], call) or format_date(call)


def as_of(call: Call) -> str:
    """Format ``{{as of|2020|5}}``."""
    if call.get("alt"):
        return call.get("alt")
    begin = "since" if call.get("since") in _YES else "as of"
    begin = begin if call.get("lc") in _YES else begin.capitalize()
    return f"{begin} {format_date(call)}"


def age(call: Call) -> str:
    """Return the years between two dates; without a second date, those until the page was saved."""
    begin = _date(call.positional[:3])
    end = _date(call.positional[3:6]) or call.options.saved_on
    if begin is None or end is None:
        return ""
    return str(end.year - begin.year - ((end.month, end.day) < (begin.month, begin.day)))


def years_ago(call: Call) -> str:
    """Format ``{{time ago|2000}}``, with regard to the time at which the page was saved."""
    year = call.get("1")[:4]
    if not year.isdecimal() or call.options.saved_on is None:
        return ""
    return f"{call.options.saved_on.year - int(year)} years ago"


def _date(parts: Sequence[str]) -> date | None:
    """Return the date of year, month and day, January 1 if only the year is given."""
    numbers = [int(part) for part in parts if _YEAR.fullmatch(part)]
    try:
        return date(*[*numbers, 1, 1][:3]) if numbers else None
    except ValueError:
        return None


def era(call: Call) -> str:
    """Return the year of the Japanese era that a year is in; of both eras if one ended in it."""
    if not _YEAR.fullmatch(call.get("1")):
        return call.get("1")
    year = int(call.get("1"))
    found: list[str] = []
    for name, start in _ERAS:
        if year >= start:
            found.append(f"{name}{'元' if year == start else year - start + 1}年")
            if year > start:
                break
    return "/".join(reversed(found)) or f"{year}年"

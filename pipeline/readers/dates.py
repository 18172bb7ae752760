"""Dates as archives and data sets declare them."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from email.utils import parsedate_to_datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNIX_TIME = re.compile(r"(\d{9,10})(\d{3}|\d{6}|\d{9})?(?:\.\d+)?")
"""Seconds and the digits of their fraction."""
_COMPACT = re.compile(r"(\d{8})(\d{4}|\d{6})")
"""Date and time without a separator, as in an index of archives."""
_USUAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
"""The format of most archives, which needs no conversion."""
_REDUCED = re.compile(r"(\d{4})(-\d\d)?")
"""A year or a month."""
_UTC_NAME = re.compile(r"\s*(UTC|GMT)$")
_MAX_LENGTH = 64
"""Characters of the longest text that is parsed."""


def parse_date(value: object) -> datetime | None:
    """Convert a declared date to UTC. Return None if it is missing, malformed or outside the years 1 to 9999.

    Accepts date objects; ISO 8601, also of reduced precision (``2024-05``) or without separators; the format
    of HTTP headers; Unix times from 1973 on, in seconds, milli-, micro- or nanoseconds. Numbers are read as
    their digits. Times without an offset are in UTC.
    """
    if isinstance(value, datetime):
        return _attempt(_to_utc, value)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    text = _to_text(value)
    for parse in (_parse_iso, _parse_http, _parse_unix_time) if text else ():
        if parsed := _attempt(parse, text):
            return parsed
    return None


def _attempt(convert: Callable[..., datetime], value: object) -> datetime | None:
    try:
        return convert(value)
    except (ValueError, OverflowError, TypeError, IndexError):  # The e-mail parser raises the last two.
        return None


def _to_text(value: object) -> str:
    """Return a text or number of plausible length as text, else an empty string."""
    if isinstance(value, str):
        return value.strip() if len(value) <= _MAX_LENGTH else ""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e20:
        return f"{value:.0f}"
    return ""


def _to_utc(parsed: datetime) -> datetime:
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _parse_iso(text: str) -> datetime:
    return _to_utc(datetime.fromisoformat(text if _USUAL.fullmatch(text) else _to_iso(text)))


def _to_iso(text: str) -> str:
    if compact := _COMPACT.fullmatch(text):
        text = f"{compact[1]}T{compact[2]}"
    elif reduced := _REDUCED.fullmatch(text):
        text = f"{reduced[1]}{reduced[2] or '-01'}-01"
    return _UTC_NAME.sub("Z", text.replace("/", "-").upper())


def _parse_http(text: str) -> datetime:
    return _to_utc(parsedate_to_datetime(text))


def _parse_unix_time(text: str) -> datetime:
    if not (found := _UNIX_TIME.fullmatch(text)):
        raise ValueError(text)
    fraction = found[2] or "0"
    return _EPOCH + timedelta(seconds=int(found[1]), microseconds=int(fraction.ljust(6, "0")[:6]))

"""Tables of text as others publish them: which column holds what, and a row as a record.

Names lead into nested objects by dots (``metadata.url``). Where the configuration names none, those that
FineWeb, Dolma, C4 and their like use are tried.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from core import config
from pipeline.ledger import Drop, Reason
from pipeline.readers.record import MAX_BYTES, Damaged, Item, Origin, Record, Skipped, date

Names = Mapping[str, tuple[str, ...]]
"""For each field of a record the columns that may hold it, the likeliest first."""

_USUAL: Names = MappingProxyType(
    {
        "text": ("text",),
        "url": ("url", "metadata.url"),
        "title": ("title", "metadata.title"),
        "language": ("language", "lang", "metadata.language"),
        "date": ("date", "created", "timestamp", "metadata.date"),
        "license": ("license", "metadata.license"),
    }
)
_NAMED = 20
"""So many columns are named where one is missing."""


def names(columns: config.ColumnsConfig) -> Names:
    """The columns to look into, by field."""
    chosen = columns.model_dump()
    return {field: (chosen[field],) if chosen[field] else usual for field, usual in _USUAL.items()}


def record(row: Mapping[str, object], wanted: Names, origin: Origin) -> Item:
    """A row as a record; damage if it has no text. What else is missing or of another type is empty."""
    text = _first(row, wanted["text"])
    if not isinstance(text, str | bytes):
        return Damaged(origin, lacks_text(wanted, list(row)))
    url = _string(row, wanted["url"])
    if len(text) > MAX_BYTES:
        return Skipped(origin, url, Drop(Reason.TOO_LARGE, len(text), MAX_BYTES))
    return Record(
        origin=origin,
        url=url,
        title=_string(row, wanted["title"]),
        fetched_at=_time(_first(row, wanted["date"])),
        license=_string(row, wanted["license"]),
        media="text",
        body=text,
        language=_string(row, wanted["language"]),
    )


def lacks_text(wanted: Names, present: list[str]) -> str:
    """What is wrong with a table whose columns are those ``present``."""
    more = ", …" if len(present) > _NAMED else ""
    return f"no text in column {wanted['text'][0]!r}; the columns are {', '.join(present[:_NAMED])}{more}"


def _first(row: Mapping[str, object], paths: tuple[str, ...]) -> object:
    """The first value that is there."""
    found = (_value(row, path) for path in paths)
    return next((value for value in found if value is not None), None)


def _value(row: Mapping[str, object], path: str) -> object:
    if path in row:
        return row[path]
    value: object = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _string(row: Mapping[str, object], paths: tuple[str, ...]) -> str:
    value = _first(row, paths)
    return value if isinstance(value, str) else ""


def _time(value: object) -> datetime | None:
    """A time in UTC, of ISO 8601 text or as Parquet has it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return date(value if isinstance(value, str) else None)

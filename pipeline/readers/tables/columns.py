"""Mapping of columns to the fields of a record, shared by all table formats.

A dot in a column name leads into a nested object (``metadata.url``). For fields that the configuration does
not map, the names that FineWeb, Dolma, C4 and similar datasets use are tried.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from core import config
from pipeline.ledger import Drop, Reason
from pipeline.readers.record import MAX_BYTES, Damaged, Item, Origin, Record, Skipped, parse_date

ColumnMapping = Mapping[str, tuple[str, ...]]
"""Candidate columns for each field of a record, in order of preference."""

_DEFAULTS: ColumnMapping = MappingProxyType(
    {
        "text": ("text",),
        "url": ("url", "metadata.url"),
        "title": ("title", "metadata.title"),
        "language": ("language", "lang", "metadata.language"),
        "date": ("date", "created", "timestamp", "metadata.date"),
        "license": ("license", "metadata.license"),
    }
)
_MAX_LISTED = 20
"""Number of columns listed in the message about a missing one."""


def column_mapping(columns: config.ColumnsConfig) -> ColumnMapping:
    """Return the candidate columns of each field: the configured one, else the defaults."""
    configured = columns.model_dump()
    return {
        field: (configured[field],) if configured[field] else defaults
        for field, defaults in _DEFAULTS.items()
    }


def record(row: Mapping[str, object], mapping: ColumnMapping, origin: Origin) -> Item:
    """Convert a row to a record, or to damage if it has no text.

    Other fields are empty if their column is missing or of another type.
    """
    text = _first(row, mapping["text"])
    if not isinstance(text, str | bytes):
        return Damaged(origin, missing_text(mapping, list(row)))
    url = _string(row, mapping["url"])
    if len(text) > MAX_BYTES:
        return Skipped(origin, url, Drop(Reason.TOO_LARGE, len(text), MAX_BYTES))
    return Record(
        origin=origin,
        url=url,
        title=_string(row, mapping["title"]),
        fetched_at=_time(_first(row, mapping["date"])),
        license=_string(row, mapping["license"]),
        media="text",
        body=text,
        language=_string(row, mapping["language"]),
    )


def missing_text(mapping: ColumnMapping, columns: list[str]) -> str:
    """Return the error message for a table with these columns, none of which holds the text."""
    more = ", …" if len(columns) > _MAX_LISTED else ""
    listed = ", ".join(columns[:_MAX_LISTED])
    return f"no text in column {mapping['text'][0]!r}; the columns are {listed}{more}"


def _first(row: Mapping[str, object], paths: tuple[str, ...]) -> object:
    """Return the first value that is not None."""
    values = (_value(row, path) for path in paths)
    return next((value for value in values if value is not None), None)


def _value(row: Mapping[str, object], path: str) -> object:
    if path in row:
        return row[path]
    value: object = row
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _string(row: Mapping[str, object], paths: tuple[str, ...]) -> str:
    value = _first(row, paths)
    return value if isinstance(value, str) else ""


def _time(value: object) -> datetime | None:
    """Convert a Parquet timestamp or an ISO 8601 text to UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return parse_date(value if isinstance(value, str) else None)

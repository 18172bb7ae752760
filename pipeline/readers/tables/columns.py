"""Mapping of columns to the fields of a record, shared by all table formats.

A dot in a column name leads into a nested object (``metadata.url``). For fields that the configuration does
not map, the names that FineWeb, Dolma, C4 and similar datasets use are tried.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from core import config
from pipeline.languages import codes
from pipeline.ledger import Drop, Reason
from pipeline.readers.dates import parse_date
from pipeline.readers.record import DATA_ERRORS, MAX_BYTES, Damaged, Item, Origin, Record, Skipped, valid_text
from pipeline.readers.tables.values import InvalidString

_DEFAULTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "text": ("text",),
        "url": ("url", "metadata.url"),
        "title": ("title", "metadata.title"),
        "language": ("language", "lang", "metadata.language"),
        "date": ("date", "created", "timestamp", "metadata.date"),
        "license": ("license", "metadata.license"),
        "quality": (),
        "source": (),
    }
)
_MAX_LISTED = 20
"""Number of columns listed in the message about a missing one."""
_MAX_NAME = 100
"""Characters of a name in it."""


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """Columns of a table that are read."""

    fields: Mapping[str, tuple[str, ...]]
    """Candidate columns for each field of a record, in order of preference."""
    kept: Sequence[str] = ()
    """Columns that are passed through to the documents."""

    @property
    def paths(self) -> Iterator[str]:
        """All columns."""
        for candidates in self.fields.values():
            yield from candidates
        yield from self.kept

    def among(self, exists: Callable[[str], object]) -> "ColumnMapping":
        """Return the mapping without the candidates that no row of a file has; that of the text stays."""
        fields = {
            field: tuple(path for path in paths if field == "text" or exists(path))
            for field, paths in self.fields.items()
        }
        return ColumnMapping(fields, self.kept)


def column_mapping(columns: config.ColumnsConfig, kept: Sequence[str] = ()) -> ColumnMapping:
    """Return the candidate columns of each field: the configured one, else the defaults."""
    configured = columns.model_dump()
    fields = {
        field: (configured[field],) if configured[field] else defaults
        for field, defaults in _DEFAULTS.items()
    }
    return ColumnMapping(fields, kept)


def record(row: Mapping[str, object], mapping: ColumnMapping, origin: Origin) -> Item:
    """Convert a row to a record, or to damage if it has no text.

    Other fields are empty if their column is missing or of another type.
    """
    try:
        return _record(row, mapping, origin)
    except DATA_ERRORS as error:
        return Damaged(origin, f"invalid value: {error}")


def _record(row: Mapping[str, object], mapping: ColumnMapping, origin: Origin) -> Item:
    text = _first(row, mapping.fields["text"])
    if isinstance(text, InvalidString):
        return Damaged(origin, f"the text is not UTF-8: it begins with {text[:40]!r}")
    if not isinstance(text, str | bytes):
        return Damaged(origin, _no_text(row, mapping, text))
    url = _string(row, mapping.fields["url"])
    if len(text) > MAX_BYTES:
        return Skipped(origin, url, Drop(Reason.TOO_LARGE, len(text), MAX_BYTES))
    return Record(
        origin=origin,
        url=url,
        title=_string(row, mapping.fields["title"]),
        fetched_at=parse_date(_plain(_first(row, mapping.fields["date"]))),
        license=_string(row, mapping.fields["license"]),
        media="text",
        body=text,
        language=_language(_first(row, mapping.fields["language"])),
        metadata={path: _to_text(_value(row, path)) for path in mapping.kept},
        quality=_number(_first(row, mapping.fields["quality"])),
        source=_string(row, mapping.fields["source"]),
    )


def missing_text(mapping: ColumnMapping, columns: list[str], found: str = "") -> str:
    """Return the error message for a table with these columns, none of which holds the text.

    ``found``: what the column holds instead, if it exists.
    """
    column = mapping.fields["text"][0]
    problem = f"column {column!r} holds {found}, not text" if found else f"no column {column!r} with the text"
    more = ", …" if len(columns) > _MAX_LISTED else ""
    listed = ", ".join(column[:_MAX_NAME] for column in columns[:_MAX_LISTED])
    return f"{problem}; the columns are {listed}{more}"


def _no_text(row: Mapping[str, object], mapping: ColumnMapping, found: object) -> str:
    """Return the error message for a row whose text is missing, null or of another type."""
    column = mapping.fields["text"][0]
    if found is None and column not in row:
        return missing_text(mapping, list(row))
    return f"column {column!r} holds {'null' if found is None else type(found).__name__}, not text"


def _first(row: Mapping[str, object], paths: tuple[str, ...]) -> object:
    """Return the first value that is not None."""
    for path in paths:
        if (value := _value(row, path)) is not None:
            return value
    return None


def _value(row: Mapping[str, object], path: str) -> object:
    if path in row:
        return row[path]
    value: object = row
    for key in path.split(".") if "." in path else ():
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return None if value is row else value


def _string(row: Mapping[str, object], paths: tuple[str, ...]) -> str:
    """Return a column's string, also if it is the only one in a list; empty for anything else."""
    value = _plain(_first(row, paths))
    return value if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    """Return a finite number, also from a string; None for anything else."""
    value = _plain(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _language(value: object) -> str:
    """Return a declared language; of a list, or of a mapping to scores, the first that is a language."""
    listed = value if isinstance(value, list | dict) else [value]
    names = [name for name in map(_plain, listed) if isinstance(name, str)]
    return next((name for name in names if codes.parse(name)), names[0] if names else "")


def _plain(value: object) -> object:
    """Return the only element of a list instead of the list, and bytes as text."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _to_text(value: object) -> str | None:
    """Return a string as it is and any other value as JSON. Dates are in ISO 8601, bytes are decoded."""
    if value is None or isinstance(value, str):
        return value and valid_text(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return valid_text(json.dumps(value, ensure_ascii=False, skipkeys=True, default=_to_json))


def _to_json(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)

"""Items that every reader yields: records with text, skipped records and damage."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pipeline.ledger import Drop

Format = Literal["warc", "wikipedia", "books", "jsonl", "parquet"]

MAX_BYTES = 1 << 26
"""Records whose raw or decoded content is longer are skipped as too large."""


@dataclass(frozen=True, slots=True)
class InputSplit:
    """Unit of work for one task: the records that begin in a byte range of one file."""

    path: str
    """User-visible path."""
    file_name: str
    """Name of the file among the inputs. Document ids derive from it, not from the file's location."""
    format: Format
    source: str
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Location of a raw record in its file, in bytes unless its reader documents another unit."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Record:
    """A raw record that contains text."""

    origin: Origin
    url: str
    title: str
    fetched_at: datetime | None
    license: str
    media: Literal["html", "wikitext", "wikihtml", "text"]
    """Markup of the body. ``wikihtml`` is HTML that MediaWiki rendered from wikitext."""
    body: bytes | str
    """Bytes are not decoded yet."""
    charset: str | None = None
    """Character encoding that the transport declared, if any."""
    language: str = ""
    """Language that the source declared, such as that of a wiki; may be empty."""
    hidden_namespaces: frozenset[str] = frozenset()
    """Lower-case names of a wiki's file and category namespaces, whose links are not text."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A valid record that is not a page."""

    origin: Origin
    url: str
    drop: Drop


@dataclass(frozen=True, slots=True)
class Damaged:
    """A record that cannot be read."""

    origin: Origin
    error: str


Item = Record | Skipped | Damaged


def parse_date(text: str | None) -> datetime | None:
    """Parse an ISO 8601 time, in UTC unless it has an offset. Return None for anything else."""
    try:
        parsed = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)

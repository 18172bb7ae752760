"""What every reader yields: records that carry text, records that do not, and damage."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pipeline.ledger import Drop

Format = Literal["warc", "wikipedia", "books", "jsonl", "parquet"]

MAX_BYTES = 1 << 26
"""A record whose raw or decoded content is longer is skipped, with that reason."""


@dataclass(frozen=True, slots=True)
class InputSplit:
    """A piece of work for one task: a whole file, or the records that begin in a range of its bytes."""

    path: str
    """User-visible path."""
    file_name: str
    """The file's name among the inputs: document ids derive from it and not from where the file lies."""
    format: Format
    source: str
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a raw record lies in its split's file, in bytes unless its reader says otherwise."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Record:
    """A raw record with text in it."""

    origin: Origin
    url: str
    title: str
    fetched_at: datetime | None
    license: str
    media: Literal["html", "wikitext", "wikihtml", "text"]
    """``wikihtml``: HTML as MediaWiki makes it of wikitext."""
    body: bytes | str
    """Bytes are not decoded yet."""
    charset: str | None = None
    """What the transport declared, if it did."""
    language: str = ""
    """What the source declares (a wiki's language), if it does."""
    hidden_namespaces: frozenset[str] = frozenset()
    """Of a wiki: its own names, in lower case, of namespaces whose links are no text: files, categories."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A sound record that is no page."""

    origin: Origin
    url: str
    drop: Drop


@dataclass(frozen=True, slots=True)
class Damaged:
    """A record that cannot be read."""

    origin: Origin
    error: str


Item = Record | Skipped | Damaged


def date(text: str | None) -> datetime | None:
    """An ISO 8601 time as archives and dumps write it, in UTC; None for anything else."""
    try:
        found = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)

"""Items that every reader yields: records with text, skipped records and damage."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from pipeline.ledger import Drop

Format = Literal["warc", "wikipedia", "books", "jsonl", "parquet"]

MAX_BYTES = 1 << 26
"""Records whose raw or decoded content is longer are skipped as too large."""

DATA_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""Exceptions that unexpected content raises. They cost the record; storage raises others, and is retried."""


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
    metadata: Mapping[str, str | None] = field(default_factory=dict)
    """Values of ``input.keep_columns``."""


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


def with_valid_text(item: Item) -> Item:
    """Return the item with valid text in every field but the body, which extraction makes valid."""
    texts = {name: getattr(item, name, "") for name in ("url", "title", "license", "language", "error")}
    changed: dict[str, Any] = {
        name: fixed for name, text in texts.items() if (fixed := valid_text(text)) is not text
    }
    return replace(item, **changed) if changed else item


def valid_text(text: str) -> str:
    """Combine surrogate pairs and replace lone surrogates, which have no UTF-8, by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text

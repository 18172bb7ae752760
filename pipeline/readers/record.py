"""Items that every reader yields: records with text, skipped records and damage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

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


def raise_storage_error(error: Exception) -> None:
    """Raise an error again if it is one of the storage, which must fail the task: Spark repeats it then.

    Decoders report damage by a plain :class:`OSError` without a number. Errors of a local disk have a number,
    and those of remote storage are classes of ours or subclasses. Call this wherever ``OSError`` is caught.
    """
    is_data = type(error) is OSError and error.errno is None
    if isinstance(error, OSError) and not is_data:
        raise error


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


class Origin(NamedTuple):
    """Location of a raw record in its file, in bytes unless its reader documents another unit."""

    offset: int
    length: int


class Record(NamedTuple):
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
    metadata: Mapping[str, str | None] = MappingProxyType({})
    """Values of ``input.keep_columns``."""
    quality: float | None = None
    """Value of ``input.columns.quality``, if it is a number."""
    source: str = ""
    """Value of ``input.columns.source``; may be empty."""


class Skipped(NamedTuple):
    """A valid record that is not a page."""

    origin: Origin
    url: str
    drop: Drop


class Damaged(NamedTuple):
    """A record that cannot be read."""

    origin: Origin
    error: str


Item = Record | Skipped | Damaged

_TEXT_FIELDS: Mapping[type[Item], Sequence[str]] = MappingProxyType(
    {Record: ("url", "title", "license", "language"), Skipped: ("url",), Damaged: ("error",)}
)


def with_valid_text(item: Item) -> Item:
    """Return the item with valid text in every field but the body, which extraction makes valid."""
    for name in _TEXT_FIELDS[type(item)]:
        text: str = getattr(item, name)
        if not text.isascii():
            changes: dict[str, Any] = {name: valid_text(text)}
            item = item._replace(**changes)
    return item


def valid_text(text: str) -> str:
    """Combine surrogate pairs and replace lone surrogates, which have no UTF-8, by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text

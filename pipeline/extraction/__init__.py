"""Raw records to text: main content of HTML, prose of wikitext; plain text is kept as is.

Start with :func:`extract`. :mod:`~pipeline.extraction.html` and :mod:`~pipeline.extraction.wikitext` hold the
two extractors; :mod:`~pipeline.extraction.guard` runs them in a separate process with limits on time and
memory.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from core import config
from pipeline import charset
from pipeline.extraction import wikitext
from pipeline.extraction.html import external
from pipeline.extraction.html.main_content import main_content
from pipeline.extraction.normalization import normalize, single_line
from pipeline.extraction.wikitext import rendered_html
from pipeline.ledger import Drop, Reason

_HTML_METHODS: Mapping[str, Callable[[str, str], tuple[str, str] | Drop]] = MappingProxyType(
    {"default": main_content, "resiliparse": external.resiliparse, "trafilatura": external.trafilatura}
)
"""Functions from a page and its URL to its main text and title."""
_PROJECT = re.compile(r"\.(wik\w+)\.org/")


class RawRecord(Protocol):
    """The fields of a reader's record that extraction uses."""

    @property
    def media(self) -> str:
        """``html``, ``wikihtml`` (rendered by MediaWiki), ``wikitext`` or ``text``."""

    @property
    def body(self) -> bytes | str:
        """The content; bytes are not decoded yet."""

    @property
    def url(self) -> str:
        """The record's URL, or an empty string."""

    @property
    def language(self) -> str:
        """The language declared by the source, or an empty string."""

    @property
    def title(self) -> str:
        """The title declared by the source, or an empty string."""

    @property
    def fetched_at(self) -> datetime | None:
        """The time at which the record was saved, if it is known."""

    @property
    def hidden_namespaces(self) -> frozenset[str]:
        """For wikis: the local names, in lower case, of the file and category namespaces."""

    @property
    def charset(self) -> str | None:
        """The character encoding declared by the transport, if any."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """A record's normalized, non-empty text, and its own title on one line (may be empty)."""

    text: str
    title: str


def extract(record: RawRecord, settings: config.ExtractionConfig) -> Extracted | Drop:
    """Return a record's text, or the reason for dropping it. Bad content never raises.

    Hostile content can still hang or crash the process; see :class:`pipeline.extraction.guard.Guard`.
    """
    if len(record.body) > settings.max_bytes:
        return Drop(Reason.TOO_LONG, len(record.body), settings.max_bytes)
    try:
        found = _extract(record, settings)
        if isinstance(found, Drop):
            return found
        text, title = normalize(found[0]), single_line(found[1])
    except Exception:  # Parsers of untrusted content: any error is attributed to the content.
        return Drop(Reason.FAILED)
    return Extracted(text, title) if text and not text.isspace() else Drop(Reason.EMPTY)


def decode_body(body: bytes | str, declared: str | None) -> str:
    """Decode a record's body, without lone surrogates and without NUL, at which some parsers stop."""
    if isinstance(body, str):
        return body.encode("utf-8", "ignore").decode().replace("\0", "")
    content = charset.decode(body, declared)
    # Searching the bytes is cheaper than searching the decoded string.
    return content.replace("\0", "") if b"\0" in body else content


def _extract(record: RawRecord, settings: config.ExtractionConfig) -> tuple[str, str] | Drop:
    """Return text and title before normalization."""
    content = decode_body(record.body, record.charset)
    match record.media:
        case "wikihtml":
            return _HTML_METHODS[settings.method](rendered_html.strip_boilerplate(content), record.url)
        case "html":
            return _HTML_METHODS[settings.method](content, record.url)
        case "wikitext":
            return wikitext.to_prose(content, _wikitext_options(record, settings)), ""
        case _:
            return content, ""


def _wikitext_options(record: RawRecord, settings: config.ExtractionConfig) -> wikitext.Options:
    return wikitext.Options(
        language=record.language,
        project=found[1] if (found := _PROJECT.search(record.url)) else "wikipedia",
        title=record.title,
        saved_on=record.fetched_at.date() if record.fetched_at else None,
        hidden_namespaces=record.hidden_namespaces,
        tables=settings.tables,
        lists=settings.lists,
    )

"""Raw records to text: HTML to its main content, wikitext to prose, plain text as it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from core import config
from pipeline import charset
from pipeline.extraction import wikitext
from pipeline.extraction.html import peers
from pipeline.extraction.html.main_content import main_content
from pipeline.extraction.tidy import one_line, tidy
from pipeline.extraction.wikitext import rendered_html
from pipeline.ledger import Drop, Reason

_HTML_METHODS: Mapping[str, Callable[[str, str], tuple[str, str] | Drop]] = MappingProxyType(
    {"default": main_content, "resiliparse": peers.resiliparse, "trafilatura": peers.trafilatura}
)
"""From a page and its address to its main text and title."""


class Raw(Protocol):
    """What extraction needs of a reader's record."""

    @property
    def media(self) -> str:
        """``html``, ``wikihtml`` (as MediaWiki makes it), ``wikitext`` or ``text``."""

    @property
    def body(self) -> bytes | str:
        """The content; bytes are not decoded yet."""

    @property
    def url(self) -> str:
        """Where it comes from, if that is known."""

    @property
    def language(self) -> str:
        """What the source declares, if it does."""

    @property
    def hidden_namespaces(self) -> frozenset[str]:
        """Of a wiki: its own names, in lower case, of the namespaces of files and categories."""

    @property
    def charset(self) -> str | None:
        """The character encoding that the transport declared, if it did."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """A record's text, tidy and not empty, and the title it gives itself, if any, on one line."""

    text: str
    title: str


def extract(record: Raw, settings: config.ExtractionConfig) -> Extracted | Drop:
    """A record's text, or the reason why there is none. Bad content is a reason and never an exception.

    Hostile content can still take for ever or crash its process: :class:`pipeline.extraction.guard.Guard`.
    """
    if len(record.body) > settings.max_bytes:
        return Drop(Reason.TOO_LONG, len(record.body), settings.max_bytes)
    try:
        found = _extract(record, settings)
    except Exception:  # Three parsers of untrusted content: whatever one of them trips over is the content's.
        return Drop(Reason.FAILED)
    if isinstance(found, Drop):
        return found
    text = tidy(found[0])
    return Extracted(text, one_line(found[1])) if text and not text.isspace() else Drop(Reason.EMPTY)


def decoded(body: bytes | str, declared: str | None) -> str:
    """A record's content as parsers take it: no lone surrogates, and no NUL, at which some of them stop."""
    if isinstance(body, str):
        return body.encode("utf-8", "ignore").decode().replace("\0", "")
    content = charset.decode(body, declared)
    return content.replace("\0", "") if b"\0" in body else content  # To look through a page takes long.


def _extract(record: Raw, settings: config.ExtractionConfig) -> tuple[str, str] | Drop:
    """Text and title before they are tidied."""
    content = decoded(record.body, record.charset)
    match record.media:
        case "wikihtml":
            lean = rendered_html.without_furniture(content)
            return _HTML_METHODS[settings.method](lean, record.url)
        case "html":
            return _HTML_METHODS[settings.method](content, record.url)
        case "wikitext":
            return wikitext.prose(content, _wiki(record, settings)), ""
        case _:
            return content, ""


def _wiki(record: Raw, settings: config.ExtractionConfig) -> wikitext.Wiki:
    return wikitext.Wiki(
        language=record.language,
        project="wiktionary" if ".wiktionary.org/" in record.url else "wikipedia",
        hidden_namespaces=record.hidden_namespaces,
        tables=settings.tables,
        lists=settings.lists,
    )

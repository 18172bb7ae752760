"""Raw records to text: HTML to its main content, wikitext to prose, plain text as it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from pipeline import charset, config
from pipeline.extraction import html, peers, wikitext
from pipeline.extraction.tidy import one_line, tidy
from pipeline.ledger import Drop, Reason

_HTML_METHODS: Mapping[str, Callable[[str], tuple[str, str] | Drop]] = MappingProxyType(
    {"default": html.main_content, "resiliparse": peers.resiliparse, "trafilatura": peers.trafilatura}
)


class Raw(Protocol):
    """What extraction needs of a reader's record."""

    @property
    def media(self) -> str:
        """``html``, ``wikitext`` or ``text``."""

    @property
    def body(self) -> bytes | str:
        """The content; bytes are not decoded yet."""

    @property
    def charset(self) -> str | None:
        """The character encoding that the transport declared, if it did."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """A record's text, tidy and not empty, and the title it gives itself, if any, on one line."""

    text: str
    title: str


def extract(record: Raw, settings: config.Extraction) -> Extracted | Drop:
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


def _extract(record: Raw, settings: config.Extraction) -> tuple[str, str] | Drop:
    """Text and title before they are tidied."""
    body = record.body
    content = body if isinstance(body, str) else charset.decode(body, record.charset)
    # Parsers take no lone surrogates, and NUL ends strings in some of them.
    content = content.encode("utf-8", "ignore").decode().replace("\0", "")
    match record.media:
        case "html":
            return _HTML_METHODS[settings.method](content)
        case "wikitext":
            return wikitext.prose(content), ""
        case _:
            return content, ""

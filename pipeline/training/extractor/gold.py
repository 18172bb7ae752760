"""Pages with gold text: a WARC file, and JSON lines with ``url``, ``main_content`` and ``page_type``."""

import gzip
import json
from dataclasses import dataclass

import tldextract
from fastwarc.warc import ArchiveIterator, WarcRecordType

from core import storage
from core.errors import InputError
from pipeline.extraction import decode_body


@dataclass(frozen=True, slots=True)
class GoldPage:
    """A page and its gold main text."""

    html: str
    url: str
    site: str
    """Registered domain. Pages of one site are similar: never split them between training and test."""
    gold: str
    page_type: str = ""
    """The annotators' category, such as ``article`` or ``forum``."""


def load_gold_pages(pages: str, gold: str) -> list[GoldPage]:
    """Return the pages of a WARC file whose URL has gold text, in file order.

    ``pages`` and ``gold`` (gzip-compressed) are paths as :mod:`core.storage` takes them. Raises
    :class:`~core.errors.InputError` if a file is missing or no page has gold text.
    """
    registered_domain = tldextract.TLDExtract(suffix_list_urls=())  # the bundled list: the same sites offline
    with storage.open_read(gold) as stream, gzip.open(stream, "rt", encoding="utf-8") as lines:
        entries = {entry["url"]: entry for entry in map(json.loads, lines) if entry["url"]}
    found = []
    with storage.open_read(pages) as stream:
        for record in ArchiveIterator(stream, record_types=WarcRecordType.response, auto_decode="all"):
            url = record.headers.get("WARC-Target-URI") or ""
            if entry := entries.get(url):
                html = decode_body(record.reader.read(), record.http_charset)
                site = registered_domain(url).top_domain_under_public_suffix or url
                found.append(GoldPage(html, url, site, entry["main_content"] or "", entry["page_type"]))
    if not found:
        raise InputError(
            f"{pages}: no response has one of the {len(entries)} URLs of {gold}; check both paths"
        )
    return found

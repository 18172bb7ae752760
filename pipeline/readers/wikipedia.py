"""MediaWiki XML exports (``pages-articles``), compressed by bzip2 or gzip or not, in constant memory."""

from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

from pipeline import storage
from pipeline.ledger import Drop, Reason
from pipeline.readers.compressed import BrokenStreamError, blocks
from pipeline.readers.record import Damaged, Item, Origin, Record, Skipped, Split, date

_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_TITLE_SAFE = ";@$!*(),/~:"
"""What MediaWiki leaves as it is in a page's address."""
_SHARE_ALIKE = (
    "wikipedia.org",
    "wiktionary.org",
    "wikibooks.org",
    "wikiquote.org",
    "wikisource.org",
    "wikiversity.org",
    "wikivoyage.org",
)


def read(split: Split) -> Iterator[Item]:
    """One item for each page of the dump, in file order; the latest revision where there are several.

    A compressed dump has no byte offsets that could be read from, so an origin's offset is the page's ordinal
    in the file and its length 0. What the dump says of itself (``siteinfo``) gives language, licence and
    addresses.
    """
    with storage.open_read(split.path) as stream:
        dump = _Dump()
        try:
            for block in blocks(stream):
                yield from dump.feed(block)
            yield from dump.close()
        except (ElementTree.ParseError, BrokenStreamError) as error:
            yield Damaged(Origin(dump.pages, 0), f"the dump ends early after {dump.pages} pages: {error}")


class _Dump:
    """A dump while it is parsed."""

    def __init__(self) -> None:
        self.pages = 0
        self._parser: ElementTree.XMLPullParser[Any] = ElementTree.XMLPullParser(("start", "end"))
        self._top: ElementTree.Element | None = None
        self._page: ElementTree.Element | None = None
        self._language = ""
        self._license = ""
        self._address = ""

    def feed(self, block: bytes) -> Iterator[Item]:
        """The pages that end in this block. Raises ParseError where it is not XML, after the pages before."""
        self._parser.feed(block)
        yield from self._items()

    def close(self) -> Iterator[Item]:
        """The pages left at the end. Raises ParseError if the document is not complete."""
        self._parser.close()
        yield from self._items()

    def _items(self) -> Iterator[Item]:
        """Turn finished elements into items and let go of them, so that memory stays constant."""
        # The type stubs allow for other kinds of events than the two that were asked for.
        events = cast(Iterator[tuple[str, ElementTree.Element]], self._parser.read_events())
        for event, element in events:
            name = element.tag.rpartition("}")[2]
            if event == "start":
                if self._top is None:
                    self._top, self._language = element, element.get(_LANGUAGE, "")
                elif name == "page":
                    self._page = element
            elif name == "revision" and self._page is not None:
                for earlier in _all(self._page, "revision")[:-1]:
                    self._page.remove(earlier)
            elif name == "siteinfo":
                self._read_siteinfo(element)
            elif name == "page" and self._top is not None:
                yield self._item(element)
                self.pages += 1
                self._top.clear()

    def _read_siteinfo(self, siteinfo: ElementTree.Element) -> None:
        base = _text(siteinfo, "base")
        host = urlsplit(base).hostname or ""
        self._address = base.rpartition("/")[0] + "/" if base else ""
        self._license = "CC-BY-SA-4.0" if host.endswith(_SHARE_ALIKE) else ""

    def _item(self, page: ElementTree.Element) -> Item:
        origin, title = Origin(self.pages, 0), _text(page, "title")
        url = self._address + quote(title.replace(" ", "_"), safe=_TITLE_SAFE) if self._address else ""
        revisions = _all(page, "revision")
        namespace = _text(page, "ns") or "0"
        if not namespace.removeprefix("-").isdecimal():
            return Damaged(origin, f"page {title!r} has namespace {namespace!r}, which is no number")
        if namespace != "0":
            return Skipped(origin, url, Drop(Reason.NAMESPACE, float(namespace)))
        if _all(page, "redirect"):
            return Skipped(origin, url, Drop(Reason.REDIRECT))
        if not revisions:
            return Damaged(origin, f"page {title!r} has no revision")
        if (_text(revisions[-1], "model") or "wikitext") != "wikitext":
            return Skipped(origin, url, Drop(Reason.MEDIA_TYPE))
        return Record(
            origin=origin,
            url=url,
            title=title,
            fetched_at=date(_text(revisions[-1], "timestamp")),
            license=self._license,
            media="wikitext",
            body=_text(revisions[-1], "text"),
            language=self._language,
        )


def _all(parent: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    """The children of that name, whichever version of the export schema they are in."""
    return parent.findall(f"{{*}}{name}")


def _text(parent: ElementTree.Element, name: str) -> str:
    return next((child.text or "" for child in _all(parent, name)), "")

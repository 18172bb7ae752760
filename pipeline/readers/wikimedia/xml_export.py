"""MediaWiki XML exports (``pages-articles``) of any wiki, compressed or not, in constant memory.

Pages are located by their tags and parsed one by one. A page that is not valid XML therefore costs only
itself, and the content may begin and end anywhere: a multistream dump is readable from any of its streams.
"""

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO
from xml.etree import ElementTree

from core import storage
from pipeline.ledger import Drop, Reason
from pipeline.readers.compressed import BrokenStreamError, blocks
from pipeline.readers.dates import parse_date
from pipeline.readers.lookahead import SEARCH_BYTES, LookaheadStream
from pipeline.readers.record import MAX_BYTES, Damaged, InputSplit, Item, Origin, Record, Skipped
from pipeline.readers.wikimedia import enterprise, multistream
from pipeline.readers.wikimedia.redirects import is_redirect
from pipeline.readers.wikimedia.siteinfo import Site, namespace_number, parse_site

_HEAD_BYTES = 1 << 20
"""Bytes of content in which the wiki is described, before the first page."""
_HEAD_END = re.compile(rb"</siteinfo>|<page>")
_TAG = re.compile(rb"<page(?=[\s>])|</page>|</mediawiki\s*>")
_PAGE, _PAGE_END, _DUMP_END = b"<page", b"</page>", b"</mediawiki>"
_INDEX_NAME = re.compile(r"-multistream-index\d*\.txt[^/]*$")
_UTF_16 = (
    (b"\xff\xfe", "utf-16-le"),
    (b"<\0m\0", "utf-16-le"),
    (b"<\0?\0", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
    (b"\0<\0m", "utf-16-be"),
    (b"\0<\0?", "utf-16-be"),
)


def is_index(path: str) -> bool:
    """True if a file is the index of a multistream dump, by its name. An index contains no pages."""
    return _INDEX_NAME.search(path) is not None


def is_splittable(stream: BinaryIO) -> bool:
    """True if byte ranges of the file can be read: it is bzip2, in an encoding that extends ASCII."""
    return multistream.is_bzip2(stream) and _encoding(_head(stream)) == "utf-8"


def is_dump(head: bytes) -> bool:
    """True if content starts like an export, in UTF-8 or UTF-16, or like an Enterprise HTML dump."""
    return b"<mediawiki" in head[:8192].replace(b"\0", b"") or enterprise.is_enterprise_dump(head)


def contains_page(stream: BinaryIO) -> bool:
    """True if there is a page in the first valid bzip2 streams of a file."""
    run = next(multistream.runs(stream, 1, SEARCH_BYTES), None)
    return run is not None and LookaheadStream(run.read).search(_TAG, 0, MAX_BYTES) is not None


def read(split: InputSplit) -> Iterator[Item]:
    """Yield one item for each page that begins in the split, in file order; of several revisions the latest.

    The offset of an origin is that of the page's bzip2 stream in the file plus the ordinal of the page in the
    stream. Other files are one stream at offset 0. The length of a page is unknown and 0, that of damage is
    in bytes.
    """
    with storage.open_read(split.path) as stream:
        head = _head(stream)
        if enterprise.is_enterprise_dump(head):
            stream.seek(0)
            yield from enterprise.read(stream)
            return
        encoding = _encoding(head)
        wiki = parse_site(head if encoding == "utf-8" else head.decode(encoding, "replace").encode())
        stop = split.start + split.length
        if encoding == "utf-8" and multistream.is_bzip2(stream):
            runs = multistream.runs(stream, split.start, stop)
        else:
            runs = iter([multistream.Run(_single_stream(stream, encoding))])
        for run in runs:
            yield from _Pages(run, stop, wiki)


def _head(stream: BinaryIO) -> bytes:
    """Return the first bytes of the content, as far as they can be decompressed."""
    stream.seek(0)
    head = b""
    try:
        for block in blocks(stream):
            head += block
            if len(head) >= _HEAD_BYTES or _HEAD_END.search(head):
                break
    except BrokenStreamError:
        pass
    return head


def _encoding(head: bytes) -> str:
    return next((encoding for start, encoding in _UTF_16 if head.startswith(start)), "utf-8")


def _single_stream(stream: BinaryIO, encoding: str) -> Iterator[tuple[int, bytes]]:
    """Yield the content of a file as one stream, in UTF-8. Raises :class:`multistream.DamageError`."""
    stream.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    try:
        for block in blocks(stream):
            yield 0, block if encoding == "utf-8" else decoder.decode(block).encode()
    except BrokenStreamError as error:
        raise multistream.DamageError(str(error), 0, 0) from None


class _Pages:
    """Iterator over the pages in those streams of a run that begin before ``stop``."""

    def __init__(self, run: multistream.Run, stop: int, wiki: Site) -> None:
        self._run = run
        self._stop = stop
        self._wiki = wiki
        self._lookahead = LookaheadStream(run.read)
        self._stream = -1
        self._ordinal = 0
        """Ordinal of the next page in the stream."""

    def __iter__(self) -> Iterator[Item]:
        # Content before the first page is the head of the dump, or the end of a page of another split.
        is_closed = self._is_end_of_last_tag()
        ended_in = -1
        while tag := self._next_tag():
            stream = self._run.stream_at(self._lookahead.position)
            if stream >= self._stop:
                return
            if tag == _PAGE:
                origin = self._next_origin(stream)
                size = self._lookahead.search(_TAG, len(_PAGE), MAX_BYTES)
                if size is None and self._lookahead.available < MAX_BYTES:
                    yield from self._truncated(origin)
                    return
                yield self._page(origin, size)
                ended_in = -1 if size is None else stream
                continue
            is_closed = tag != _PAGE_END
            if stream == ended_in and not is_closed:
                yield Damaged(self._next_origin(stream), "a page without its start tag")
            self._lookahead.skip(len(tag))
        if self._run.damage or not is_closed:
            yield from self._ending()

    def _is_end_of_last_tag(self) -> bool:
        """True if the run contains only the end of a ``</mediawiki>`` that another split began to read."""
        rest = self._lookahead.peek(64).strip()
        return 0 < len(rest) < len(_DUMP_END) and _DUMP_END.endswith(rest)

    def _next_tag(self) -> bytes:
        """Advance to the next tag and return it; empty at the end of the run."""
        lookahead = self._lookahead
        while (found := lookahead.search(_TAG, 0, MAX_BYTES)) is None and lookahead.peek(1):
            lookahead.skip(MAX_BYTES)
        lookahead.skip(found or 0)
        tag = _TAG.match(lookahead.peek(64))
        return tag[0] if tag else b""

    def _next_origin(self, stream: int) -> Origin:
        if stream != self._stream:
            self._stream, self._ordinal = stream, 0
        self._ordinal += 1
        return Origin(stream + self._ordinal - 1, 0)

    def _page(self, origin: Origin, size: int | None) -> Item:
        """Return the page at the current position, whose end tag is ``size`` bytes ahead, and skip it."""
        if size is None:
            self._lookahead.skip(MAX_BYTES)
            return Skipped(origin, "", Drop(Reason.TOO_LARGE, None, MAX_BYTES))
        if self._lookahead.peek(len(_PAGE_END), size) != _PAGE_END:
            self._lookahead.skip(size)
            return Damaged(origin, "a page without its end tag")
        page = self._lookahead.peek(size + len(_PAGE_END))
        self._lookahead.skip(len(page))
        return parse(page, origin, self._wiki)

    def _truncated(self, origin: Origin) -> Iterator[Damaged]:
        """Yield the damage of a page that is cut off by the end of the run.

        If the run ends in the page's own stream, the damage of the stream covers the page.
        """
        if self._last_stream == self._stream:
            self._ordinal -= 1
        else:
            yield Damaged(origin, "the dump breaks off inside a page")
        yield from self._ending()

    @property
    def _last_stream(self) -> int:
        """Offset of the stream that the run ended in. Valid after the run has ended."""
        return self._run.damage.offset if self._run.damage else max(0, self._run.last_stream)

    def _ending(self) -> Iterator[Damaged]:
        """Yield the damage that ended the run, or that the dump is incomplete.

        Only the split of the last stream reports it.
        """
        if self._run.last_stream >= self._stop:
            return
        pages = self._ordinal if self._last_stream == self._stream else 0
        damage = self._run.damage
        length = max(0, damage.length - pages) if damage else 0
        error = (
            f"{damage}, after {pages} of its pages" if damage else "the dump ends early, without </mediawiki>"
        )
        yield Damaged(Origin(self._last_stream + pages, length), error)


def parse(page: bytes, origin: Origin, wiki: Site) -> Item:
    """Convert a ``<page>`` element to an article, a skip with its reason, or damage."""
    try:
        element = ElementTree.fromstring(page)
    except ElementTree.ParseError as error:
        return Damaged(origin, f"the page is not XML: {error}")
    title = element.findtext("title") or ""
    url = wiki.url(title)
    declared = element.findtext("ns") or str(wiki.namespace(title))  # Exports before 2012 have no <ns>.
    namespace = namespace_number(declared)
    if namespace is None:
        return Damaged(origin, f"page {title!r} has namespace {declared[:40]!r}, which is not a number")
    if namespace:
        return Skipped(origin, url, Drop(Reason.NAMESPACE, namespace))
    if element.find("redirect") is not None:
        return Skipped(origin, url, Drop(Reason.REDIRECT))
    revisions = element.findall("revision")
    if not revisions:
        return Damaged(origin, f"page {title!r} has no revision")
    if (revisions[-1].findtext("model") or "wikitext") != "wikitext":
        return Skipped(origin, url, Drop(Reason.MEDIA_TYPE))
    body = revisions[-1].findtext("text") or ""
    if is_redirect(body):
        return Skipped(origin, url, Drop(Reason.REDIRECT))
    return Record(
        origin=origin,
        url=url,
        title=title,
        fetched_at=parse_date(revisions[-1].findtext("timestamp")),
        license=wiki.license,
        media="wikitext",
        body=body,
        language=wiki.language,
        hidden_namespaces=wiki.hidden_namespaces,
    )

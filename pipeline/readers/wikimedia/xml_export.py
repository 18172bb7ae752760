"""MediaWiki XML exports (``pages-articles``) of any wiki, compressed or not, in constant memory.

Pages are cut out of the content by their tags and parsed one by one, so a page that is no XML costs itself
only, and the content may begin and break off anywhere: a multistream dump is read from any of its streams on.
"""

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO
from xml.etree import ElementTree

from core import storage
from pipeline.ledger import Drop, Reason
from pipeline.readers.compressed import BrokenStreamError, blocks
from pipeline.readers.lookahead import Window
from pipeline.readers.record import MAX_BYTES, Damaged, InputSplit, Item, Origin, Record, Skipped, date
from pipeline.readers.wikimedia import enterprise, multistream
from pipeline.readers.wikimedia.siteinfo import Site, site

_HEAD_BYTES = 1 << 20
"""In so much of the content the wiki is described, before the first page."""
_HEAD_END = re.compile(rb"</siteinfo>|<page>")
_TAG = re.compile(rb"<page(?=[\s>])|</page>|</mediawiki\s*>")
_PAGE, _PAGE_END, _DUMP_END = b"<page", b"</page>", b"</mediawiki>"
_INDEX = re.compile(r"-multistream-index\d*\.txt[^/]*$")
_UTF_16 = (
    (b"\xff\xfe", "utf-16-le"),
    (b"<\0m\0", "utf-16-le"),
    (b"<\0?\0", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
    (b"\0<\0m", "utf-16-be"),
    (b"\0<\0?", "utf-16-be"),
)


def is_index(path: str) -> bool:
    """Whether a file is the index beside a multistream dump, by its name: it holds no pages."""
    return _INDEX.search(path) is not None


def splittable(stream: BinaryIO) -> bool:
    """Whether ranges of the file can be read: bzip2, and one byte a character where tags are concerned."""
    return multistream.is_chain(stream) and _encoding(_head(stream)) == "utf-8"


def fits(head: bytes) -> bool:
    """Whether a file's content begins as an export does, in UTF-8 or 16, or as an Enterprise HTML dump."""
    return b"<mediawiki" in head[:8192].replace(b"\0", b"") or enterprise.fits(head)


def holds_page(stream: BinaryIO) -> bool:
    """Whether a page is in the first sound bzip2 streams of a file."""
    run = next(multistream.runs(stream, 1, multistream.NEAR), None)
    return run is not None and Window(run.read).search(_TAG, 0, MAX_BYTES) is not None


def read(split: InputSplit) -> Iterator[Item]:
    """One item for each page that begins in the split, in file order; the latest revision of several.

    An origin's offset is that of the page's bzip2 stream in the file plus the page's ordinal in the stream.
    Other files are one stream at offset 0. A page's length is not known and 0, that of damage is in bytes.
    """
    with storage.open_read(split.path) as stream:
        head = _head(stream)
        if enterprise.fits(head):
            stream.seek(0)
            yield from enterprise.read(stream)
            return
        encoding = _encoding(head)
        wiki = site(head if encoding == "utf-8" else head.decode(encoding, "replace").encode())
        stop = split.start + split.length
        if encoding == "utf-8" and multistream.is_chain(stream):
            runs = multistream.runs(stream, split.start, stop)
        else:
            runs = iter([multistream.Run(_whole(stream, encoding))])
        for run in runs:
            yield from _Pages(run, stop, wiki)


def _head(stream: BinaryIO) -> bytes:
    """The first bytes of the content, as far as they can be decompressed."""
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
    return next((name for begin, name in _UTF_16 if head.startswith(begin)), "utf-8")


def _whole(stream: BinaryIO, encoding: str) -> Iterator[tuple[int, bytes]]:
    """All content of a file as one stream, in UTF-8. Raises :class:`bzip2.DamageError`."""
    stream.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    try:
        for block in blocks(stream):
            yield 0, block if encoding == "utf-8" else decoder.decode(block).encode()
    except BrokenStreamError as error:
        raise multistream.DamageError(str(error), 0, 0) from None


class _Pages:
    """The pages that begin in those streams of a run that begin before ``stop``."""

    def __init__(self, run: multistream.Run, stop: int, wiki: Site) -> None:
        self._run = run
        self._stop = stop
        self._wiki = wiki
        self._window = Window(run.read)
        self._stream = -1
        self._ordinal = 0
        """Of the next page in the stream."""

    def __iter__(self) -> Iterator[Item]:
        """What comes before the first page is the end of another split's, or the head of the dump."""
        is_closed = self._ends_a_tag()
        ended_in = -1
        while tag := self._next_tag():
            stream = self._run.stream_at(self._window.position)
            if stream >= self._stop:
                return
            if tag == _PAGE:
                origin = self._next_origin(stream)
                size = self._window.search(_TAG, len(_PAGE), MAX_BYTES)
                if size is None and self._window.available < MAX_BYTES:
                    yield from self._broken_off(origin)
                    return
                yield self._page(origin, size)
                ended_in = -1 if size is None else stream
                continue
            is_closed = tag != _PAGE_END
            if stream == ended_in and not is_closed:
                yield Damaged(self._next_origin(stream), "a page without its begin")
            self._window.skip(len(tag))
        if self._run.damage or not is_closed:
            yield from self._ending()

    def _ends_a_tag(self) -> bool:
        """Whether all that the run has is the rest of the last tag, begun in another split's stream."""
        rest = self._window.peek(64).strip()
        return 0 < len(rest) < len(_DUMP_END) and _DUMP_END.endswith(rest)

    def _next_tag(self) -> bytes:
        """Move to the next of the tags; none at the end of the run."""
        window = self._window
        while (found := window.search(_TAG, 0, MAX_BYTES)) is None and window.peek(1):
            window.skip(MAX_BYTES)
        window.skip(found or 0)
        tag = _TAG.match(window.peek(64))
        return tag[0] if tag else b""

    def _next_origin(self, stream: int) -> Origin:
        if stream != self._stream:
            self._stream, self._ordinal = stream, 0
        self._ordinal += 1
        return Origin(stream + self._ordinal - 1, 0)

    def _page(self, origin: Origin, size: int | None) -> Item:
        """The page at the window's position, whose end lies ``size`` bytes on; the window moves past it."""
        if size is None:
            self._window.skip(MAX_BYTES)
            return Skipped(origin, "", Drop(Reason.TOO_LARGE, None, MAX_BYTES))
        if self._window.peek(len(_PAGE_END), size) != _PAGE_END:
            self._window.skip(size)
            return Damaged(origin, "a page without its end")
        page = self._window.peek(size + len(_PAGE_END))
        self._window.skip(len(page))
        return parse(page, origin, self._wiki)

    def _broken_off(self, origin: Origin) -> Iterator[Damaged]:
        """A page that the run's end cuts off: one item, if the run ends in the page's own stream."""
        if self._end == self._stream:
            self._ordinal -= 1
        else:
            yield Damaged(origin, "the dump breaks off inside a page")
        yield from self._ending()

    @property
    def _end(self) -> int:
        """Offset of the stream that the run ends in, once it has ended."""
        return self._run.damage.offset if self._run.damage else max(0, self._run.last_stream)

    def _ending(self) -> Iterator[Damaged]:
        """Damage that ended the run, or a dump that is not complete; the last stream's split tells of it."""
        if self._run.last_stream >= self._stop:
            return
        pages = self._ordinal if self._end == self._stream else 0
        damage = self._run.damage
        length = max(0, damage.length - pages) if damage else 0
        error = (
            f"{damage}, after {pages} of its pages" if damage else "the dump ends early, without </mediawiki>"
        )
        yield Damaged(Origin(self._end + pages, length), error)


def parse(page: bytes, origin: Origin, wiki: Site) -> Item:
    """One ``<page>`` element as an article, or the reason why it is none."""
    try:
        element = ElementTree.fromstring(page)
    except ElementTree.ParseError as error:
        return Damaged(origin, f"the page is not XML: {error}")
    title = element.findtext("title") or ""
    url = wiki.url(title)
    namespace = element.findtext("ns") or "0"
    if not namespace.removeprefix("-").isdecimal():
        return Damaged(origin, f"page {title!r} has namespace {namespace!r}, which is no number")
    if int(namespace):
        return Skipped(origin, url, Drop(Reason.NAMESPACE, float(namespace)))
    if element.find("redirect") is not None:
        return Skipped(origin, url, Drop(Reason.REDIRECT))
    revisions = element.findall("revision")
    if not revisions:
        return Damaged(origin, f"page {title!r} has no revision")
    if (revisions[-1].findtext("model") or "wikitext") != "wikitext":
        return Skipped(origin, url, Drop(Reason.MEDIA_TYPE))
    return Record(
        origin=origin,
        url=url,
        title=title,
        fetched_at=date(revisions[-1].findtext("timestamp")),
        license=wiki.license,
        media="wikitext",
        body=revisions[-1].findtext("text") or "",
        language=wiki.language,
        hidden_namespaces=wiki.hidden_namespaces,
    )

"""Wikimedia Enterprise HTML dumps: JSON lines in the files of a gzipped tar archive."""

import tarfile
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from pipeline.ledger import Drop, Reason
from pipeline.readers.compressed import BrokenStreamError, blocks
from pipeline.readers.dates import parse_date
from pipeline.readers.lines import lines, parse_object
from pipeline.readers.lookahead import LookaheadStream
from pipeline.readers.record import Damaged, Item, Origin, Record, Skipped, raise_storage_error

_TAR_BLOCK = 512
_JSON_LINES = (".ndjson", ".json", ".jsonl")
_MAX_NAMESPACE = 1 << 31
"""Larger numbers are not namespaces."""


def is_enterprise_dump(head: bytes) -> bool:
    """True if the content starts with a tar header and the JSON of an article."""
    return head[257:262] == b"ustar" and (b'"article_body"' in head or b'"in_language"' in head)


def read(stream: BinaryIO) -> Iterator[Item]:
    """Yield one item for each line. Its origin is its byte range in the decompressed archive."""
    content = _Content(blocks(stream))
    at = 0
    try:
        # In stream mode, tarfile only calls ``read``, and there is nothing to close.
        archive = tarfile.open(fileobj=cast(Any, content), mode="r|", bufsize=_TAR_BLOCK)  # noqa: SIM115
        for member in archive:
            at = member.offset_data
            file = archive.extractfile(member) if member.name.endswith(_JSON_LINES) else None
            if file:
                for item in _items(LookaheadStream(file.read, at)):
                    at = item.origin.offset + item.origin.length
                    yield item
    except (tarfile.TarError, BrokenStreamError, OSError) as error:
        raise_storage_error(error)
        yield Damaged(Origin(at, 0), f"the archive ends early: {error}")


class _Content:
    """A stream over decompressed blocks that returns exactly as many bytes as requested, until its end."""

    def __init__(self, content: Iterator[bytes]) -> None:
        self._lookahead = LookaheadStream(lambda _: next(content, b""))

    def read(self, size: int) -> bytes:
        """Return the next bytes. Raises :class:`BrokenStreamError`."""
        data = self._lookahead.peek(size)
        self._lookahead.skip(len(data))
        return data


def _items(lookahead: LookaheadStream) -> Iterator[Item]:
    for line in lines(lookahead):
        if isinstance(line, Skipped):
            yield line
        elif line.strip():
            yield parse(line, Origin(lookahead.position - len(line), len(line)))


def parse(line: bytes, origin: Origin) -> Item:
    """Convert the JSON of one article to a page, or to damage if it is not an object with a ``name``."""
    fields = parse_object(line, origin)
    if isinstance(fields, Damaged):
        return fields
    name = _text(fields, "name")
    if not name:
        return Damaged(origin, 'no "name"')
    url = _text(fields, "url")
    namespace = _field(fields, "namespace", "identifier")
    if isinstance(namespace, int) and 0 < abs(namespace) < _MAX_NAMESPACE:
        return Skipped(origin, url, Drop(Reason.NAMESPACE, float(namespace)))
    licences = _field(fields, "license")
    licence = licences[0] if isinstance(licences, list) and licences else {}
    return Record(
        origin=origin,
        url=url,
        title=name,
        fetched_at=parse_date(_text(fields, "date_modified")),
        license=_text(licence, "identifier") or _text(licence, "name"),
        media="wikihtml",
        body=_text(fields, "article_body", "html"),
        language=_text(fields, "in_language", "identifier"),
    )


def _field(fields: object, *path: str) -> object:
    """Return the value at a path of nested objects, None if it does not exist."""
    for key in path:
        fields = fields.get(key) if isinstance(fields, dict) else None
    return fields


def _text(fields: object, *path: str) -> str:
    value = _field(fields, *path)
    return value if isinstance(value, str) else ""

"""Wikimedia Enterprise HTML dumps: JSON lines in the files of a gzipped tar archive."""

import json
import tarfile
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from pipeline.ledger import Drop, Reason
from pipeline.readers.compressed import BrokenStreamError, blocks
from pipeline.readers.lookahead import Window
from pipeline.readers.record import Damaged, Item, Origin, Record, Skipped, date
from pipeline.readers.tables.jsonl import lines

_TAR_BLOCK = 512
_JSON_LINES = (".ndjson", ".json", ".jsonl")


def fits(head: bytes) -> bool:
    """Whether a file's content begins with a tar header and an article's JSON."""
    return head[257:262] == b"ustar" and (b'"article_body"' in head or b'"in_language"' in head)


def read(stream: BinaryIO) -> Iterator[Item]:
    """One item for each line; its origin is its bytes in the archive, decompressed."""
    content = _Content(blocks(stream))
    at = 0
    try:
        # In stream mode an archive only ever asks for ``read``, and there is nothing to close.
        archive = tarfile.open(fileobj=cast(Any, content), mode="r|", bufsize=_TAR_BLOCK)  # noqa: SIM115
        for member in archive:
            at = member.offset_data
            file = archive.extractfile(member) if member.name.endswith(_JSON_LINES) else None
            if file:
                for item in _items(Window(file.read, at)):
                    at = item.origin.offset + item.origin.length
                    yield item
    except (tarfile.TarError, BrokenStreamError, OSError) as error:
        yield Damaged(Origin(at, 0), f"the archive ends early: {error}")


class _Content:
    """Blocks as a stream that gives as many bytes as it is asked for, to its end."""

    def __init__(self, content: Iterator[bytes]) -> None:
        self._window = Window(lambda _: next(content, b""))

    def read(self, size: int) -> bytes:
        """The next bytes. Raises :class:`BrokenStreamError`."""
        piece = self._window.peek(size)
        self._window.skip(len(piece))
        return piece


def _items(window: Window) -> Iterator[Item]:
    for line in lines(window):
        if isinstance(line, Skipped):
            yield line
        elif line.strip():
            yield parse(line, Origin(window.position - len(line), len(line)))


def parse(line: bytes, origin: Origin) -> Item:
    """One article's JSON as a page; damage if it is no object with a ``name``."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Damaged(origin, f"not JSON: {error}")
    name = _text(fields, "name")
    if not name:
        return Damaged(origin, 'not a JSON object with a "name"')
    url = _text(fields, "url")
    namespace = _field(fields, "namespace", "identifier")
    if isinstance(namespace, int) and namespace:
        return Skipped(origin, url, Drop(Reason.NAMESPACE, float(namespace)))
    licences = _field(fields, "license")
    licence = licences[0] if isinstance(licences, list) and licences else {}
    return Record(
        origin=origin,
        url=url,
        title=name,
        fetched_at=date(_text(fields, "date_modified")),
        license=_text(licence, "identifier") or _text(licence, "name"),
        media="wikihtml",
        body=_text(fields, "article_body", "html"),
        language=_text(fields, "in_language", "identifier"),
    )


def _field(fields: object, *path: str) -> object:
    """What lies at the end of the path; None where there is nothing."""
    for key in path:
        fields = fields.get(key) if isinstance(fields, dict) else None
    return fields


def _text(fields: object, *path: str) -> str:
    found = _field(fields, *path)
    return found if isinstance(found, str) else ""

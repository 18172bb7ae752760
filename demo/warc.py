"""Write pages as WARC 1.1 files (ISO 28500:2017).

One gzip member per record. The bytes depend on the pages only, so that rebuilding gives the same files.
"""

import base64
import gzip
import hashlib
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

FILE_BYTES = 2_000_000
"""Size at which a file is closed, so that one collection is read by several tasks."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page as sent by a server."""

    url: str
    content_type: str
    body: bytes


def write(folder: Path, name: str, description: str, when: datetime, pages: Iterable[Page]) -> list[int]:
    """Write ``folder/NAME-00000.warc.gz`` and so on; return the number of pages in each file."""
    counts: list[int] = []
    remaining = iter(pages)
    while (page := next(remaining, None)) is not None:
        path = folder / f"{name}-{len(counts):05d}.warc.gz"
        counts.append(_write_file(path, description, when, page, remaining))
    return counts


def _write_file(path: Path, description: str, when: datetime, first: Page, others: Iterator[Page]) -> int:
    """Write one file and return the number of pages in it."""
    with path.open("wb") as stream:
        information = _information(path.name, description, when)
        stream.write(information + _response(first, when))
        count = 1
        while stream.tell() < FILE_BYTES and (page := next(others, None)) is not None:
            stream.write(_response(page, when))
            count += 1
    return count


def _information(file_name: str, description: str, when: datetime) -> bytes:
    """Return the ``warcinfo`` record at the beginning of a file."""
    lines = {"software": "Gristmill", "format": "WARC File Format 1.1", "description": description}
    block = "".join(f"{key}: {value}\r\n" for key, value in lines.items()).encode()
    kind = {"WARC-Filename": file_name, "Content-Type": "application/warc-fields"}
    return _record("warcinfo", when, kind, block)


def _response(page: Page, when: datetime) -> bytes:
    """Return the ``response`` record of a page."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {page.content_type}\r\nContent-Length: {len(page.body)}\r\n\r\n"
    fields = {
        "WARC-Target-URI": page.url,
        "Content-Type": "application/http; msgtype=response",
        "WARC-Payload-Digest": _digest(page.body),
    }
    return _record("response", when, fields, head.encode("ascii") + page.body)


def _record(kind: str, when: datetime, fields: dict[str, str], block: bytes) -> bytes:
    """Return a record as a gzip member, without a timestamp of its own."""
    digest = _digest(block)
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"{kind} {sorted(fields.items())} {digest}")
    header = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<urn:uuid:{identity}>",
        "WARC-Date": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
        **fields,
        "WARC-Block-Digest": digest,
        "Content-Length": str(len(block)),
    }
    lines = "".join(f"{key}: {value}\r\n" for key, value in header.items())
    return gzip.compress(b"WARC/1.1\r\n" + lines.encode() + b"\r\n" + block + b"\r\n\r\n", 6, mtime=0)


def _digest(data: bytes) -> str:
    """Return a digest as crawlers write it: SHA-1 in base 32."""
    sha1 = hashlib.sha1(data, usedforsecurity=False).digest()
    return "sha1:" + base64.b32encode(sha1).decode()

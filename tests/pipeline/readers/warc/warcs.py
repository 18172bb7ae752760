"""Small WARC files for the tests of this folder."""

import gzip
import os
from pathlib import Path

from core import config
from pipeline.readers import read
from pipeline.readers.inputs import plan_splits
from pipeline.readers.record import InputSplit, Item


def record(payload: bytes, url: str = "http://example.org/", kind: str = "response", http: str = "") -> bytes:
    """One WARC record with an HTTP block; ``http`` replaces the usual status line and headers."""
    head = http or "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
    block = head.encode() + b"\r\n" + payload
    return warc(block, url, kind, f"application/http; msgtype={kind}")


def warc(block: bytes, url: str, kind: str, content_type: str) -> bytes:
    header = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{abs(hash(url))}>\r\n"
        f"WARC-Date: 2024-05-06T07:08:09Z\r\nWARC-Target-URI: {url}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(block)}\r\n\r\n"
    )
    return header.encode() + block + b"\r\n\r\n"


def members(records: list[bytes]) -> list[bytes]:
    return [gzip.compress(one, mtime=0) for one in records]


def whole(path: Path) -> InputSplit:
    """The file as one split, recognised by its content."""
    (split,) = plan_splits(config.InputConfig(paths=(str(path),)))
    return split


def items(path: Path, data: bytes) -> list[Item]:
    """What a WARC with these bytes holds."""
    path.write_bytes(data)
    split = InputSplit(str(path), path.name, "warc", "commoncrawl", 0, os.path.getsize(path))  # noqa: PTH202
    return list(read(split))

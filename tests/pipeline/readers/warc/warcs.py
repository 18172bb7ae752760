"""Builders of small WARC files for the tests."""

import gzip
import os
from pathlib import Path

from core import config
from pipeline.readers import read
from pipeline.readers.inputs import plan_splits
from pipeline.readers.record import InputSplit, Item


def record(
    payload: bytes, url: str = "http://example.org/", record_type: str = "response", http: str = ""
) -> bytes:
    """Return one WARC record with an HTTP block; ``http`` replaces the default status line and headers."""
    head = http or "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
    block = head.encode() + b"\r\n" + payload
    return warc(block, url, record_type, f"application/http; msgtype={record_type}")


def warc(block: bytes, url: str, record_type: str, content_type: str) -> bytes:
    """Return one WARC record with this block."""
    header = (
        f"WARC/1.0\r\nWARC-Type: {record_type}\r\nWARC-Record-ID: <urn:uuid:{abs(hash(url))}>\r\n"
        f"WARC-Date: 2024-05-06T07:08:09Z\r\nWARC-Target-URI: {url}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(block)}\r\n\r\n"
    )
    return header.encode() + block + b"\r\n\r\n"


def members(records: list[bytes]) -> list[bytes]:
    """Compress each record to a gzip member."""
    return [gzip.compress(content, mtime=0) for content in records]


def single_split(path: Path) -> InputSplit:
    """Return the file as one split, with its format detected."""
    (split,) = plan_splits(config.InputConfig(paths=(str(path),)))
    return split


def items(path: Path, data: bytes) -> list[Item]:
    """Write a WARC with these bytes and return its items."""
    path.write_bytes(data)
    split = InputSplit(str(path), path.name, "warc", "commoncrawl", 0, os.path.getsize(path))  # noqa: PTH202
    return list(read(split))

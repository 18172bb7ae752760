"""Recognition of file formats by content and, where that is ambiguous, by file name."""

import re
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import BinaryIO

from core import config, storage
from core.errors import InputError
from pipeline.readers.books import tei
from pipeline.readers.compressed import BZIP2, GZIP, BrokenStreamError, blocks
from pipeline.readers.record import Damaged, Format, InputSplit, Record
from pipeline.readers.tables import jsonl, parquet
from pipeline.readers.warc import framing
from pipeline.readers.warc import reader as warc
from pipeline.readers.wikimedia import xml_export

_HEAD_BYTES = 1 << 16
_BZIP2_BLOCK = 1 << 20
"""Largest compressed block of a bzip2 stream: no content comes out before the first one is complete."""
_COMPRESSED_SUFFIX = re.compile(r"\.(gz|bz2|zst)$")
_FORMAT_BY_SUFFIX: Mapping[str, Format] = MappingProxyType(
    {
        **dict.fromkeys((".jsonl", ".json", ".ndjson"), "jsonl"),
        **dict.fromkeys((".txt", ".md", ".markdown"), "books"),
        **dict.fromkeys((".warc", ".arc", ".wet", ".wat"), "warc"),
    }
)
"""Expected format by the suffix of the name, for content that has no signature or a damaged one."""
_DESCRIPTIONS: Mapping[Format, str] = MappingProxyType(
    {
        "warc": "a WARC record",
        "wikipedia": "a MediaWiki export (<mediawiki …>) or an Enterprise HTML dump",
        "books": "plain text or TEI XML",
        "jsonl": "a JSON object with a text on the first line",
        "parquet": "a Parquet file (PAR1)",
    }
)
_IS_SPLITTABLE: Mapping[Format, Callable[[BinaryIO], bool]] = MappingProxyType(
    {
        "warc": warc.is_splittable,
        "wikipedia": xml_export.is_splittable,
        "jsonl": jsonl.is_splittable,
        "parquet": parquet.is_splittable,
    }
)


def detect_format(path: str, size: int, columns: config.ColumnsConfig) -> Format:
    """Return the format of a file, by its first bytes and its name.

    Raises :class:`InputError` for a file of no known format and for a table without the required columns.
    """
    head = _head(path)
    if _matches(head, "warc") or (head.startswith(GZIP) and _is_damaged_warc(path)):
        return "warc"
    if _matches(head, "wikipedia") or _is_damaged_dump(path, head):
        return "wikipedia"
    if _matches(head, "parquet"):
        parquet.check(path, columns)
        return "parquet"
    if tei.is_tei(head):
        return "books"
    name = _COMPRESSED_SUFFIX.sub("", storage.name(path).lower())
    if expected := _FORMAT_BY_SUFFIX.get(PurePosixPath(name).suffix):
        check_format(path, size, expected, columns)
        return expected
    raise InputError(
        f"{path}: begins with {head[:16]!r} and has a name of no known format; leave it out of input.paths "
        "or set input.format to its format (warc, wikipedia, books, jsonl, parquet)"
    )


def check_format(path: str, size: int, expected: Format, columns: config.ColumnsConfig) -> None:
    """Raise :class:`InputError` unless the first bytes of the file match the expected format.

    A table must also have the required columns.
    """
    head, problem = _head(path), ""
    if expected == "jsonl":
        first = next(jsonl.read(InputSplit(path, "", "jsonl", "", 0, size), columns), None)
        matches = isinstance(first, Record)
        problem = f" ({first.error})" if isinstance(first, Damaged) else ""
    else:
        matches = (
            _matches(head, expected)
            or (expected == "warc" and _is_damaged_warc(path))
            or (expected == "wikipedia" and _is_damaged_dump(path, head))
        )
    if not matches:
        raise InputError(
            f"{path}: begins with {head[:16]!r}, not {_DESCRIPTIONS[expected]}{problem}; leave it out of "
            f"input.paths or set {'input.columns.text or ' if problem else ''}input.format to what it is"
        )
    if expected == "parquet":
        parquet.check(path, columns)


def is_splittable(path: str, detected: Format) -> bool:
    """True if any byte range of a file of this format can be read."""
    if detected not in _IS_SPLITTABLE:
        return False
    with storage.open_read(path) as stream:
        return _IS_SPLITTABLE[detected](stream)


def _matches(head: bytes, expected: Format) -> bool:
    """True if the first bytes of the content match a format, as far as they can show it."""
    if expected == "warc":
        return bool(framing.RECORD.match(head))
    if expected == "parquet":
        return head.startswith(parquet.MAGIC)
    if expected == "wikipedia":
        return xml_export.is_dump(head)
    return bool(head) and (b"\0" not in head or head.startswith((b"\xff\xfe", b"\xfe\xff")))


def _is_damaged_warc(path: str) -> bool:
    """True if readable WARC records follow the damaged first bytes of a file."""
    with storage.open_read(path) as stream:
        return warc.is_warc(stream)


def _is_damaged_dump(path: str, head: bytes) -> bool:
    """True if pages of a dump follow the damaged first stream of a bzip2 file."""
    if not head.startswith(BZIP2) and not path.endswith(".bz2"):
        return False
    with storage.open_read(path) as stream:
        return xml_export.contains_page(stream)


def _head(path: str) -> bytes:
    """Return the first bytes of a file, decompressed unless they are damaged."""
    raw = storage.read_range(path, 0, _HEAD_BYTES)
    if raw.startswith(BZIP2):
        raw += storage.read_range(path, len(raw), _BZIP2_BLOCK)
    try:
        return next(blocks(BytesIO(raw)), b"")
    except BrokenStreamError:
        return raw

"""Recognition of file formats by content and, where that is ambiguous, by file name.

A file is accepted if its reader can read any of it: damage at the start of a file costs no more than damage
further on.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import BinaryIO

from core import config, storage
from core.errors import InputError
from pipeline import charset
from pipeline.readers.books import tei
from pipeline.readers.compressed import BZIP2, BrokenStreamError, blocks
from pipeline.readers.encoding import wide_encoding
from pipeline.readers.record import Damaged, Format, InputSplit, Record
from pipeline.readers.tables import jsonl, parquet
from pipeline.readers.warc import framing
from pipeline.readers.warc import reader as warc
from pipeline.readers.wikimedia import xml_export

_HEAD_BYTES = 1 << 16
_BZIP2_BLOCK = 1 << 20
"""Largest compressed block of a bzip2 stream: no content comes out before the first one is complete."""
_PROBED_LINES = 1000
"""Lines among which one must be an object with a text."""
_FORMAT_BY_SUFFIX: Mapping[str, Format] = MappingProxyType(
    {
        **dict.fromkeys((".jsonl", ".json", ".ndjson", ".jsonlines", ".ldjson", ".jl"), "jsonl"),
        **dict.fromkeys((".parquet", ".pq"), "parquet"),
        **dict.fromkeys((".txt", ".text", ".md", ".markdown"), "books"),
        **dict.fromkeys((".warc", ".arc", ".wet", ".wat"), "warc"),
        ".xml": "wikipedia",
    }
)
"""Expected format by the last suffix of the name that is one of these."""
_DESCRIPTIONS: Mapping[Format, str] = MappingProxyType(
    {
        "warc": "a WARC record",
        "wikipedia": "a MediaWiki export (<mediawiki …>) or an Enterprise HTML dump",
        "books": "plain text or TEI XML",
        "jsonl": "a JSON object with a text on the first lines",
        "parquet": "a Parquet file (PAR1)",
    }
)
_OTHER_FORMATS: Mapping[bytes, str] = MappingProxyType(
    {
        b"PK\x03\x04": "a zip archive",
        b"7z\xbc\xaf\x27\x1c": "a 7z archive",
        b"Rar!": "a rar archive",
        b"\x04\x22\x4d\x18": "an lz4 file",
        b"\x1f\x9d": "a file of compress",
        b"\xff\x06\0\0sNaPpY": "a Snappy file",
        b"%PDF-": "a PDF file",
        b"ARROW1": "an Arrow IPC file",
        b"Obj\x01": "an Avro file",
        b"SQLite format 3": "an SQLite database",
    }
)
"""Formats that are recognized in order to say that they are not read."""
_IS_SPLITTABLE: Mapping[Format, Callable[[BinaryIO], bool]] = MappingProxyType(
    {
        "warc": warc.is_splittable,
        "wikipedia": xml_export.is_splittable,
        "jsonl": jsonl.is_splittable,
        "parquet": parquet.is_splittable,
    }
)
_WIKI_PAGE = re.compile(rb"<page>\s*<title>")
_JSON_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*[\[{]")


def is_empty(path: str, size: int) -> bool:
    """True if a file, compressed or not, contains nothing or only white space."""
    if size > _HEAD_BYTES:
        return False
    head = _head(path)
    return len(head) < _HEAD_BYTES and not head.strip(b"\xef\xbb\xbf\0\t\n\r ")


def detect_format(path: str, size: int, columns: config.ColumnsConfig, kept: Sequence[str] = ()) -> Format:
    """Return the format of a file, by its content and its name.

    Raises :class:`InputError` for a file of no known format and for a table without the required columns.
    """
    head = _head(path)
    if framing.RECORD.match(head):
        return "warc"
    if xml_export.is_dump(head) or _is_damaged_dump(path, head):
        return "wikipedia"
    if head.startswith(parquet.MAGIC):
        parquet.check(path, columns, kept)
        return "parquet"
    if tei.is_tei(head):
        return "books"
    suffixes = reversed(PurePosixPath(storage.name(path).lower()).suffixes)
    expected = next((_FORMAT_BY_SUFFIX[suffix] for suffix in suffixes if suffix in _FORMAT_BY_SUFFIX), None)
    if expected:
        check_format(path, size, expected, columns, kept)
        return expected
    if _JSON_START.match(head) and not _json_problem(path, size, columns, kept):
        return "jsonl"
    if _is_warc(path):
        return "warc"
    raise InputError(
        f"{path}: {_describe(head)}, and its name does not tell its format; leave it out of input.paths or "
        "set input.format to its format (warc, wikipedia, books, jsonl, parquet)"
    )


def check_format(
    path: str, size: int, expected: Format, columns: config.ColumnsConfig, kept: Sequence[str] = ()
) -> None:
    """Raise :class:`InputError` unless the content of the file is in the expected format.

    A table must also have the required columns.
    """
    head, problem = _head(path), ""
    if expected == "jsonl":
        problem = _json_problem(path, size, columns, kept)
        matches = not problem
    elif expected == "parquet":
        matches = parquet.MAGIC in (head[:4], storage.read_range(path, max(0, size - 4), 4))
    elif expected == "warc":
        matches = framing.RECORD.match(head) is not None or _is_warc(path)
    elif expected == "wikipedia":
        is_page = _WIKI_PAGE.search(head.replace(b"\0", b"")) is not None
        matches = xml_export.is_dump(head) or is_page or _is_damaged_dump(path, head)
    else:
        has_zeros = head.count(0) * 100 > len(head) and not wide_encoding(head)
        matches = bool(head) and not (has_zeros or charset.is_binary(head) or _other_format(head))
    if not matches:
        remedy = f"set {'input.columns.text or ' if problem else ''}input.format to what it is"
        raise InputError(
            f"{path}: {_describe(head)}, not {_DESCRIPTIONS[expected]}{f' ({problem})' if problem else ''}; "
            f"leave it out of input.paths or {remedy}"
        )
    if expected == "parquet":
        parquet.check(path, columns, kept)


def is_splittable(path: str, detected: Format) -> bool:
    """True if any byte range of a file of this format can be read."""
    if detected not in _IS_SPLITTABLE:
        return False
    with storage.open_read(path) as stream:
        return _IS_SPLITTABLE[detected](stream)


def _describe(head: bytes) -> str:
    other = _other_format(head)
    return f"is {other}, a format that is not read" if other else f"begins with {head[:16]!r}"


def _other_format(head: bytes) -> str | None:
    if head[257:262] == b"ustar":
        return "a tar archive"
    return next((name for start, name in _OTHER_FORMATS.items() if head.startswith(start)), None)


def _json_problem(path: str, size: int, columns: config.ColumnsConfig, kept: Sequence[str]) -> str:
    """Return the error of the first line if none of the first lines is a record; else an empty string."""
    items = jsonl.read(InputSplit(path, "", "jsonl", "", 0, size), columns, kept)
    problem = "no line with a text"
    for item, _ in zip(items, range(_PROBED_LINES), strict=False):
        if isinstance(item, Record):
            return ""
        if isinstance(item, Damaged) and problem == "no line with a text":
            problem = item.error
    return problem


def _is_warc(path: str) -> bool:
    """True if readable WARC records follow the first bytes of a file."""
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
    head = b""
    try:
        for block in blocks(BytesIO(raw)):
            head += block
            if len(head) >= _HEAD_BYTES:
                break
    except BrokenStreamError:
        return head or raw
    return head

"""From ``[input]`` to splits: which files there are, what each one is, and what to call it."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import BinaryIO

from core import config, storage
from core.errors import InputError
from pipeline.readers import commoncrawl, warc
from pipeline.readers.books import tei
from pipeline.readers.compressed import BZIP2, GZIP, BrokenStreamError, blocks
from pipeline.readers.record import Damaged, Format, InputSplit, Record
from pipeline.readers.tables import jsonl, parquet
from pipeline.readers.warc import framing
from pipeline.readers.wikimedia import xml_export

_HEAD_BYTES = 1 << 16
IO_THREADS = 16
"""Files that one process opens side by side to recognise them: over a network, time goes into waiting."""
_COMPRESSED = re.compile(r"\.(gz|bz2|zst)$")
_BZIP2_BLOCK = 1 << 20
"""Nothing comes out of a bzip2 stream before its first block, of up to this size, is complete."""

_SOURCES: Mapping[Format, str] = MappingProxyType(
    {
        "warc": "commoncrawl",
        "wikipedia": "wikipedia",
        "books": "books",
        "jsonl": "jsonl",
        "parquet": "parquet",
    }
)
_WHAT: Mapping[Format, str] = MappingProxyType(
    {
        "warc": "a WARC record",
        "wikipedia": "a MediaWiki export (<mediawiki …>) or an Enterprise HTML dump",
        "books": "plain text or TEI XML",
        "jsonl": "a JSON object with a text on the first line",
        "parquet": "a Parquet file (PAR1)",
    }
)
_SPLITTABLE: Mapping[Format, Callable[[BinaryIO], bool]] = MappingProxyType(
    {
        "warc": warc.splittable,
        "wikipedia": xml_export.splittable,
        "jsonl": jsonl.splittable,
        "parquet": parquet.splittable,
    }
)
"""Per format, whether the records of a file can be reached from anywhere in it."""
_NAMES: Mapping[str, Format] = MappingProxyType(
    {
        **dict.fromkeys((".jsonl", ".json", ".ndjson"), "jsonl"),
        **dict.fromkeys((".txt", ".md", ".markdown"), "books"),
        **dict.fromkeys((".warc", ".arc", ".wet", ".wat"), "warc"),
    }
)
"""What a file should hold by the end of its name, where its first bytes do not say."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One raw file of a run."""

    path: str
    file_name: str
    """The shortest end of the path that no other input's path has: ids derive from it."""
    size: int | None
    """In bytes; None: only who opens it will know."""
    version: str
    """Changes when the file is rewritten; empty: it never is."""


def find_files(settings: config.InputConfig) -> list[InputFile]:
    """The files that ``input.paths`` name, sorted by ``file_name``.

    Raises :class:`InputError` for a path with nothing there and for a file that is named twice.
    """
    named_by: dict[str, str] = {}
    files: list[InputFile] = []
    for pattern in settings.paths:
        for file in _listed(pattern, settings.commoncrawl):
            if file.path in named_by:
                raise InputError(
                    f"{file.path}: named twice in input.paths, by {named_by[file.path]} and by {pattern}; "
                    "every file is read once: remove one of them"
                )
            named_by[file.path] = pattern
            files.append(file)
    names = unique_names([file.path for file in files])
    found = [replace(file, file_name=names[file.path]) for file in files]
    return sorted(found, key=lambda file: file.file_name)


def index_files(settings: config.InputConfig) -> list[InputFile]:
    """The files of ``input.index``. Raises :class:`InputError` if there are none or the first is another."""
    listed = storage.list_files(storage.absolute(settings.index.path))
    if storage.read_range(listed[0].path, 0, 4) != parquet.MAGIC:
        raise InputError(
            f"{listed[0].path}: not a Parquet file, as an index must be; correct input.index.path"
        )
    return [InputFile(file.path, file.path, file.size, file.version) for file in listed]


def _listed(pattern: str, commoncrawl_base: str) -> list[InputFile]:
    """The files that one entry of ``input.paths`` names, which have no names among the others yet."""
    if pattern.startswith(commoncrawl.SCHEME):
        return [InputFile(path, "", None, "") for path in commoncrawl.expand(pattern, commoncrawl_base)]
    listed = storage.list_files(storage.absolute(pattern))
    if all(xml_export.is_index(file.path) for file in listed):
        raise InputError(f"{pattern}: only the index of a multistream dump; name the dump itself")
    return [
        InputFile(file.path, "", file.size, file.version)
        for file in listed
        if not xml_export.is_index(file.path)
    ]


def unique_names(paths: Sequence[str]) -> dict[str, str]:
    """For each path, the fewest last components that no other path ends with: normally the base name."""
    components = {path: path.split("/") for path in paths}
    endings = Counter(
        "/".join(parts[-count:]) for parts in components.values() for count in range(1, len(parts) + 1)
    )
    names = {}
    for path, parts in components.items():
        suffixes = ("/".join(parts[-count:]) for count in range(1, len(parts) + 1))
        names[path] = next((suffix for suffix in suffixes if endings[suffix] == 1), path)
    return names


def plan_splits(settings: config.InputConfig) -> list[InputSplit]:
    """The splits of all inputs, in the order of their file names. Raises :class:`InputError`."""
    with ThreadPoolExecutor(IO_THREADS) as pool:
        planned = pool.map(lambda file: split_file(file, settings), find_files(settings))
        return [split for splits in planned for split in splits]


def split_file(file: InputFile, settings: config.InputConfig) -> list[InputSplit]:
    """The splits of one file, recognised by its first bytes. Raises :class:`InputError` if it does not fit.

    Small and without a driver, so that many files are recognised in parallel.
    """
    size = storage.file_info(file.path).size if file.size is None else file.size
    if settings.format == "auto":
        found = sniff(file.path, size, settings.columns)
    else:
        found = settings.format
        check(file.path, size, found, settings.columns)
    whole = InputSplit(file.path, file.file_name, found, settings.source or _SOURCES[found], 0, size)
    if size <= settings.split_bytes or not _is_splittable(file.path, found):
        return [whole]
    return [
        replace(whole, start=start, length=min(settings.split_bytes, size - start))
        for start in range(0, size, settings.split_bytes)
    ]


def _is_splittable(path: str, found: Format) -> bool:
    """Whether the file's reader can begin anywhere in it."""
    if found not in _SPLITTABLE:
        return False
    with storage.open_read(path) as stream:
        return _SPLITTABLE[found](stream)


def sniff(path: str, size: int, columns: config.ColumnsConfig) -> Format:
    """What a file is, by its first bytes and its name. Raises :class:`InputError` if it is nothing known."""
    head = _head(path)
    if _fits(head, "warc") or (head.startswith(GZIP) and _is_damaged_warc(path)):
        return "warc"
    if _fits(head, "wikipedia") or _is_damaged_dump(path, head):
        return "wikipedia"
    if _fits(head, "parquet"):
        parquet.check(path, columns)
        return "parquet"
    if tei.is_tei(head):
        return "books"
    name = _COMPRESSED.sub("", storage.name(path).lower())
    if named := _NAMES.get(PurePosixPath(name).suffix):
        check(path, size, named, columns)
        return named
    raise InputError(
        f"{path}: begins with {head[:16]!r} and is named like no known format; leave it out of input.paths "
        "or say what it is with input.format (warc, wikipedia, books, jsonl, parquet)"
    )


def check(path: str, size: int, expected: Format, columns: config.ColumnsConfig) -> None:
    """Raise :class:`InputError` unless the file's first bytes fit the format it is said to have.

    A table must have the columns that are wanted of it.
    """
    head, problem = _head(path), ""
    if expected == "jsonl":
        first = next(jsonl.read(InputSplit(path, "", "jsonl", "", 0, size), columns), None)
        fits = isinstance(first, Record)
        problem = f" ({first.error})" if isinstance(first, Damaged) else ""
    else:
        fits = (
            _fits(head, expected)
            or (expected == "warc" and _is_damaged_warc(path))
            or (expected == "wikipedia" and _is_damaged_dump(path, head))
        )
    if not fits:
        raise InputError(
            f"{path}: begins with {head[:16]!r}, not {_WHAT[expected]}{problem}; leave it out of input.paths "
            f"or set {'input.columns.text or ' if problem else ''}input.format to what it is"
        )
    if expected == "parquet":
        parquet.check(path, columns)


def _fits(head: bytes, expected: Format) -> bool:
    """Whether the first bytes of the content fit a format, as far as they can tell."""
    if expected == "warc":
        return bool(framing.RECORD.match(head))
    if expected == "parquet":
        return head.startswith(parquet.MAGIC)
    if expected == "wikipedia":
        return xml_export.fits(head)
    return bool(head) and (b"\0" not in head or head.startswith((b"\xff\xfe", b"\xfe\xff")))


def _is_damaged_warc(path: str) -> bool:
    """Whether a file whose first bytes are damaged goes on with WARC records, which can be read."""
    with storage.open_read(path) as stream:
        return warc.fits(stream)


def _is_damaged_dump(path: str, head: bytes) -> bool:
    """Whether a bzip2 file whose first stream is damaged goes on with a dump's pages."""
    if not head.startswith(BZIP2) and not path.endswith(".bz2"):
        return False
    with storage.open_read(path) as stream:
        return xml_export.holds_page(stream)


def _head(path: str) -> bytes:
    """The first bytes of a file's content, decompressed; of a damaged file, as they are."""
    raw = storage.read_range(path, 0, _HEAD_BYTES)
    if raw.startswith(BZIP2):
        raw += storage.read_range(path, len(raw), _BZIP2_BLOCK)
    try:
        return next(blocks(BytesIO(raw)), b"")
    except BrokenStreamError:
        return raw

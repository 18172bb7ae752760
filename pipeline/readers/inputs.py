"""Input files of a run: listing those that ``[input]`` names, naming them, and planning their splits."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import MappingProxyType

from core import config, storage
from core.errors import InputError
from pipeline.readers import commoncrawl, recognition
from pipeline.readers.record import Format, InputSplit
from pipeline.readers.tables import parquet
from pipeline.readers.wikimedia import xml_export

IO_THREADS = 16
"""Files that one process opens concurrently: over a network, most of the time is latency."""

_DEFAULT_SOURCES: Mapping[Format, str] = MappingProxyType(
    {
        "warc": "commoncrawl",
        "wikipedia": "wikipedia",
        "books": "books",
        "jsonl": "jsonl",
        "parquet": "parquet",
    }
)


@dataclass(frozen=True, slots=True)
class InputFile:
    """One raw file of a run."""

    path: str
    file_name: str
    """Shortest suffix of the path that no other input shares. Document ids derive from it."""
    size: int | None
    """In bytes; None if it is not known before the file is opened."""
    version: str
    """Changes when the file is rewritten; empty if it never is."""


def find_files(settings: config.InputConfig) -> list[InputFile]:
    """Return the files that ``input.paths`` names, sorted by ``file_name``.

    Raises :class:`InputError` for a path without files and for a file that is named twice.
    """
    named_by: dict[str, str] = {}
    files: list[InputFile] = []
    for pattern in settings.paths:
        for file in _list_files(pattern, settings.commoncrawl):
            if file.path in named_by:
                raise InputError(
                    f"{file.path}: named twice in input.paths, by {named_by[file.path]} and by {pattern}; "
                    "every file is read once: remove one of them"
                )
            named_by[file.path] = pattern
            files.append(file)
    names = unique_names([file.path for file in files])
    named = [replace(file, file_name=names[file.path]) for file in files]
    return sorted(named, key=lambda file: file.file_name)


def index_files(settings: config.InputConfig) -> list[InputFile]:
    """Return the files of ``input.index``.

    Raises :class:`InputError` if there are none or the first is not Parquet.
    """
    listed = storage.list_files(storage.absolute(settings.index.path))
    if storage.read_range(listed[0].path, 0, 4) != parquet.MAGIC:
        raise InputError(
            f"{listed[0].path}: not a Parquet file, as an index must be; correct input.index.path"
        )
    return [InputFile(file.path, file.path, file.size, file.version) for file in listed]


def _list_files(pattern: str, commoncrawl_base: str) -> list[InputFile]:
    """Return the files that one entry of ``input.paths`` names, without a ``file_name`` yet."""
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
    """Map each path to its shortest suffix of components that no other path shares, usually the base name."""
    components = {path: path.split("/") for path in paths}
    counts = Counter(
        "/".join(parts[-count:]) for parts in components.values() for count in range(1, len(parts) + 1)
    )
    names = {}
    for path, parts in components.items():
        suffixes = ("/".join(parts[-count:]) for count in range(1, len(parts) + 1))
        names[path] = next((suffix for suffix in suffixes if counts[suffix] == 1), path)
    return names


def plan_splits(settings: config.InputConfig) -> list[InputSplit]:
    """Return the splits of all inputs, in the order of their file names. Raises :class:`InputError`."""
    with ThreadPoolExecutor(IO_THREADS) as pool:
        planned = pool.map(lambda file: split_file(file, settings), find_files(settings))
        return [split for splits in planned for split in splits]


def split_file(file: InputFile, settings: config.InputConfig) -> list[InputSplit]:
    """Return the splits of one file.

    Raises :class:`InputError` if its format is unknown or not the configured one. Reads only the first bytes
    of the file, and runs in threads or Spark tasks alike.
    """
    size = storage.file_info(file.path).size if file.size is None else file.size
    if settings.format == "auto":
        detected = recognition.detect_format(file.path, size, settings.columns)
    else:
        detected = settings.format
        recognition.check_format(file.path, size, detected, settings.columns)
    source = settings.source or _DEFAULT_SOURCES[detected]
    whole = InputSplit(file.path, file.file_name, detected, source, 0, size)
    if size <= settings.split_bytes or not recognition.is_splittable(file.path, detected):
        return [whole]
    return [
        replace(whole, start=start, length=min(settings.split_bytes, size - start))
        for start in range(0, size, settings.split_bytes)
    ]

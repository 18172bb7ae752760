"""Input files of a run: listing those that ``[input]`` names, naming them, and planning their splits."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from core import config, storage
from core.errors import ConfigError, InputError
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


@dataclass(frozen=True, slots=True)
class Plan:
    """Input files of a run, their splits, and the paths that are skipped."""

    files: list[InputFile]
    splits: list[InputSplit]
    skipped: dict[str, str]
    """The cause for each path that is named but not read."""


def find_files(settings: config.InputConfig) -> list[InputFile]:
    """Return the files that ``input.paths`` names, sorted by ``file_name``.

    Raises :class:`InputError` for a path without files and for a file that is named twice.
    """
    return find(settings)[0]


def find(settings: config.InputConfig) -> tuple[list[InputFile], dict[str, str]]:
    """Do as :func:`find_files`, and return the paths that are skipped, with the cause.

    A file with several names, because of links, is read once.
    """
    named_by: dict[str, str] = {}
    files: list[InputFile] = []
    skipped: dict[str, str] = {}
    for pattern in settings.paths:
        listed, not_read = _list_files(pattern, settings.commoncrawl)
        skipped |= not_read
        for file in listed:
            if file.path in named_by:
                raise InputError(
                    f"{file.path}: named twice in input.paths, by {named_by[file.path]} and by {pattern}; "
                    "every file is read once: remove one of them"
                )
            named_by[file.path] = pattern
            files.append(file)
    aliases = _aliases([file.path for file in files])
    files = [file for file in files if file.path not in aliases]
    names = unique_names([file.path for file in files])
    named = [replace(file, file_name=names[file.path]) for file in files]
    return sorted(named, key=lambda file: file.file_name), skipped | aliases


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


def _list_files(pattern: str, commoncrawl_base: str) -> tuple[list[InputFile], dict[str, str]]:
    """Return the files that an entry of ``input.paths`` names, without ``file_name``, and the skipped."""
    if pattern.startswith(commoncrawl.SCHEME):
        return [InputFile(path, "", None, "") for path in commoncrawl.expand(pattern, commoncrawl_base)], {}
    listing = storage.scan(storage.absolute(pattern))
    indexes = {file.path: "the index of a dump" for file in listing.files if xml_export.is_index(file.path)}
    files = [
        InputFile(file.path, "", file.size, file.version)
        for file in listing.files
        if file.path not in indexes
    ]
    if not files:
        raise InputError(f"{pattern}: only the index of a multistream dump; name the dump itself")
    return files, listing.skipped | indexes


def _aliases(paths: Sequence[str]) -> dict[str, str]:
    """Return the paths that are other names of a file among them, by links, each with the cause to skip it.

    The name that is kept has a suffix, which tells the format, and is not a link, if there is such a name.
    """
    names: dict[str, list[str]] = defaultdict(list)
    for path in filter(storage.is_local, paths):
        names[os.path.realpath(path.removeprefix("file://"))].append(path)
    aliases: dict[str, str] = {}
    for target, same in names.items():
        kept, *others = sorted(same, key=lambda path: ("." not in storage.name(path), path != target, path))
        aliases |= dict.fromkeys(others, f"another name of a file: {kept}")
    return aliases


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


def try_split(file: InputFile, settings: config.InputConfig) -> list[InputSplit] | str:
    """Return the splits of a file, none if it is empty, or the error of its content.

    Raises :class:`~core.errors.UnavailableError` if its storage fails: nothing is known of the file then, and
    a corpus must not depend on the moment at which it was planned.
    """
    try:
        return split_file(file, settings)
    except InputError as error:
        return str(error)


def split_file(file: InputFile, settings: config.InputConfig) -> list[InputSplit]:
    """Return the splits of one file; none if it is empty.

    Raises :class:`InputError` if its format is unknown or not the configured one. Reads only the first bytes
    of the file, and runs in threads or Spark tasks alike.
    """
    size = storage.file_info(file.path).size if file.size is None else file.size
    if recognition.is_empty(file.path, size):
        return []
    tables = settings.columns, settings.keep_columns
    if settings.format == "auto":
        detected = recognition.detect_format(file.path, size, *tables)
    else:
        detected = settings.format
        recognition.check_format(file.path, size, detected, *tables)
    source = settings.source or _DEFAULT_SOURCES[detected]
    whole = InputSplit(file.path, file.file_name, detected, source, 0, size)
    if size <= settings.split_bytes or not recognition.is_splittable(file.path, detected):
        return [whole]
    return [
        replace(whole, start=start, length=min(settings.split_bytes, size - start))
        for start in range(0, size, settings.split_bytes)
    ]


def split_in_threads(
    files: Sequence[InputFile], settings: config.InputConfig
) -> Iterable[list[InputSplit] | str]:
    """Return the result of :func:`try_split` for each file."""
    with ThreadPoolExecutor(IO_THREADS) as pool:
        yield from pool.map(partial(try_split, settings=settings), files)


SplitFiles = Callable[[Sequence[InputFile], config.InputConfig], Iterable[list[InputSplit] | str]]
"""Applies :func:`try_split` to every file, in any way."""


def plan_splits(settings: config.InputConfig) -> list[InputSplit]:
    """Return the splits of all inputs, in the order of their file names. Raises what :func:`plan` raises."""
    return plan(settings).splits


def plan(settings: config.InputConfig, split_files: SplitFiles = split_in_threads) -> Plan:
    """List the inputs and split them.

    Empty files are skipped, and of folders and globs also files that cannot be read. Raises
    :class:`InputError` for a file that ``input.paths`` names itself and that cannot be read, and if no file
    is left; :class:`~core.errors.UnavailableError` if a file's storage fails or denies access to it;
    :class:`ConfigError` if columns are to be kept and no file is a table.
    """
    found, skipped = find(settings)
    named = {storage.absolute(path) for path in settings.paths}
    made = Plan([], [], skipped)
    problem = ""
    for file, result in zip(found, split_files(found, settings), strict=True):
        if isinstance(result, list) and result:
            made.files.append(file)
            made.splits.extend(result)
            continue
        error = result if isinstance(result, str) else f"{file.path}: empty; name a file with content"
        problem = problem or error
        if result and file.path in named:
            break
        made.skipped[file.path] = f"not readable: {_cause(error, file.path)}" if result else "empty"
    else:
        if made.splits:
            check_kept(made.splits, settings.keep_columns)
            return made
    raise InputError(problem)


def check_kept(splits: Sequence[InputSplit], kept: Sequence[str]) -> None:
    """Raise :class:`ConfigError` if columns are to be kept, but no input is a table."""
    if kept and not any(split.format in ("jsonl", "parquet") for split in splits):
        raise ConfigError(
            f"input.keep_columns: {', '.join(kept)}: only tables have columns, but no input is Parquet or "
            "JSON lines; leave it out"
        )


def describe_skipped(skipped: Mapping[str, str]) -> str:
    """Return one line with the number of skipped paths for each kind of cause, and an example of each."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for path, cause in skipped.items():
        kinds[cause.partition(": ")[0]].append(path)
    counted = (f"{kind}: {len(paths):,}, such as {_one_line(paths[0])}" for kind, paths in kinds.items())
    number = "1 path of the inputs is" if len(skipped) == 1 else f"{len(skipped):,} paths of the inputs are"
    return f"{number} not read ({'; '.join(counted)})"


def _cause(error: str, path: str) -> str:
    """Return what an error says about a file, without its path and the remedy."""
    return error.removeprefix(f"{path}: ").rpartition("; ")[0]


def _one_line(path: str) -> str:
    return path if path.isprintable() else repr(path)

"""Evaluation sets: JSONL files, plain or compressed, of which every line is an item with texts."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import pyarrow as pa

from core import storage
from core.config import DecontaminationConfig
from core.errors import InputError
from core.jsonl import parse_object

_CODECS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
"""Compressions by the first bytes of a file."""
_EXTENSIONS = (".gz", ".bz2", ".zst", ".zstd", ".jsonl", ".ndjson", ".json")
"""What the name of a set leaves out of its file's name."""
_MAX_NAMED = 20
"""Fields that an error message lists."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a set."""

    line: int
    """Number of the line, the first being 1."""
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """The items of one file."""

    name: str
    """The file's name without extensions; with the folders above it where sets would have the same name."""
    path: str
    sha256: str
    """Of the file, hexadecimal."""
    items: list[Item]
    unusable_lines: int
    """Lines that are not UTF-8, not a JSON object, or without text in the configured fields."""


@dataclass(slots=True)
class _Lines:
    """Items and unusable lines of one file, collected while it is read."""

    items: list[Item] = field(default_factory=list)
    fields: set[str] = field(default_factory=set)
    """Fields with text, of all lines."""
    problem: str = ""
    """Why the first unusable line is unusable."""
    unusable: int = 0


def read_sets(settings: DecontaminationConfig) -> list[EvaluationSet]:
    """Read every file of ``settings.paths``, sorted by path. Each file is held in memory.

    Raises :class:`InputError` for a path without files, a damaged file, a file without a usable line, and a
    field that no line has.
    """
    listed = (storage.list_files(storage.absolute(path)) for path in settings.paths)
    paths = sorted({file.path for file in chain.from_iterable(listed)})
    sets, fields = [], set[str]()
    for path, name in zip(paths, set_names(paths), strict=True):
        data = storage.read_bytes(path)
        found = _parse_lines(path, _decompress(path, data), settings.fields)
        sets.append(EvaluationSet(name, path, hashlib.sha256(data).hexdigest(), found.items, found.unusable))
        fields |= found.fields
    for wanted in settings.fields:
        if sets and not any(_is_within(path, wanted) for path in fields):
            raise InputError(
                f"decontamination.fields: no line has text in field {wanted!r}; the fields with text are "
                f"{_listed(fields)}"
            )
    return sets


def set_names(paths: Sequence[str]) -> list[str]:
    """Return the names of files without extensions, with as many folders as make them different."""
    parts = [_without_extensions(path).split("/") for path in paths]
    depth = 1
    while len(names := ["/".join(each[-depth:]) for each in parts]) > len(set(names)):
        if depth >= max(map(len, parts)):  # a.jsonl beside a.jsonl.gz
            return list(paths)
        depth += 1
    return names


def _without_extensions(path: str) -> str:
    while extension := next((each for each in _EXTENSIONS if path.lower().endswith(each)), ""):
        path = path[: -len(extension)]
    return path


def _decompress(path: str, data: bytes) -> bytes:
    codec = next((codec for magic, codec in _CODECS.items() if data.startswith(magic)), "")
    if not codec:
        return data
    try:
        return bytes(pa.CompressedInputStream(pa.BufferReader(data), codec).read())
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{path}: the {codec} data is damaged ({error}); items would be missed; restore the file"
        ) from None


def _parse_lines(path: str, content: bytes, wanted: Sequence[str]) -> _Lines:
    """Parse the lines of a file. Blank lines are no items. Raises :class:`InputError` if none is usable."""
    found = _Lines()
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            leaves = list(_leaves(parse_object(line.decode(), f"line {number}")))
        except (UnicodeDecodeError, InputError) as error:
            problem = str(error) if isinstance(error, InputError) else f"line {number}: not UTF-8"
            found.problem, found.unusable = found.problem or problem, found.unusable + 1
            continue
        found.fields.update(path for path, _ in leaves)
        texts = [
            text for path, text in leaves if not wanted or any(_is_within(path, each) for each in wanted)
        ]
        if texts:
            found.items.append(Item(number, tuple(texts)))
        else:
            found.unusable += 1
    if not found.items:
        raise InputError(f"{path}: {_unusable(found, wanted)}")
    return found


def _unusable(found: _Lines, wanted: Sequence[str]) -> str:
    """Return the problem of a file without items, and the remedy."""
    if found.fields:
        fields = ", ".join(wanted)
        return (
            f"no line has text in the fields {fields}; those with text are {_listed(found.fields)}; "
            "correct decontamination.fields"
        )
    problem = found.problem.split("; ")[0] or "no line has text"
    return f"holds no evaluation items ({problem}); decontamination.paths must name JSONL files"


def _leaves(value: object) -> Iterator[tuple[str, str]]:
    """Yield every text in a JSON value with its path: names of fields, joined by dots.

    The elements of a list have the path of the list.
    """
    stack: list[tuple[str, object]] = [("", value)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, str):
            if value:
                yield path, value
        elif isinstance(value, dict):
            stack += [(f"{path}.{name}" if path else name, part) for name, part in reversed(value.items())]
        elif isinstance(value, list):
            stack += [(path, part) for part in reversed(value)]


def _is_within(path: str, wanted: str) -> bool:
    return path == wanted or path.startswith(f"{wanted}.")


def _listed(fields: set[str]) -> str:
    names = sorted(fields)
    return ", ".join(names[:_MAX_NAMED]) + (", …" if len(names) > _MAX_NAMED else "")

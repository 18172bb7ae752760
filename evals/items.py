"""Read data files as items. Each item records the file and line it came from, for error messages."""

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core import jsonl, storage
from core.errors import InputError
from core.shards import Shards, check_tokenizer
from core.tokenizer import load_published
from core.tokenizer.template import TEMPLATE_ERRORS
from evals.suite import SUITES_FOLDER, NamedSuite, SuiteFile, render, template_fields

MAX_CSV_FIELD = 1 << 24
"""Largest CSV field, in characters; the default of the csv module is lower."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file that was read. ``results.json`` contains these fields."""

    name: str
    path: str
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class Item:
    """One row of data: its fields, and the location of each."""

    number: int
    """Position among the suite's items, from 0."""
    fields: Mapping[str, Any]
    field_locations: Mapping[str, str]
    location: str

    def value(self, field: str) -> Any:
        """Return a field of any type. Raises :class:`InputError` if it is missing."""
        if field not in self.fields:
            present = ", ".join(map(str, self.fields)) or "none"
            raise InputError(
                f"{self.location}: no field {field!r} (it has {present}); add it, pass the file that has it "
                "with --data, or set the field's name in a suite of your own"
            )
        return self.fields[field]

    def text(self, field: str) -> str:
        """Return a text field. Raises :class:`InputError` if it is missing or not a string."""
        value = self.value(field)
        if not isinstance(value, str):
            raise self.invalid(field, "must be text")
        return value

    def nonempty_text(self, field: str) -> str:
        """Return a text field. Raises :class:`InputError` if it is missing, not a string or empty."""
        text = self.text(field)
        if not text:
            raise self.invalid(field, "must not be empty")
        return text

    def render(self, template: str) -> str:
        """Render a suite's template with this item's fields. Raises :class:`InputError` on failure."""
        for field in sorted(template_fields(template)):
            self.value(field)
        try:
            return render(template, self.fields)
        except TEMPLATE_ERRORS as error:
            raise InputError(
                f"{self.location}: {template!r:.60} cannot be rendered ({error}); correct the item "
                "or the suite"
            ) from None

    def invalid(self, field: str, rule: str) -> InputError:
        """Return the error for a field that violates a rule."""
        value = self.fields.get(field)
        location = self.field_locations.get(field, self.location)
        return InputError(f"{location}: field {field!r} is {value!r:.60}: {rule}; correct the file")


def read_items(named: NamedSuite, paths: Mapping[str, str]) -> tuple[list[Item], list[DataFile]]:
    """Read all items of a suite from the files that ``--data`` names, or that the suite includes.

    Raises :class:`InputError` if a file is not named, missing, empty or malformed, or if parallel files
    differ in length.
    """
    files: list[DataFile] = []
    columns: list[list[Item]] = []
    for file in named.suite.files:
        name = named.data_name(file)
        path = paths.get(name) or (str(SUITES_FOLDER / file.builtin) if file.builtin else "")
        if not path and file.optional:
            continue
        if not path:
            raise InputError(
                f"suite {named.name} needs data that it does not include; give its path with "
                f"--data {name}=PATH"
            )
        items, read_files = _read_file(name, path, file)
        if not items:
            raise InputError(f"{path}: empty: suite {named.name} needs at least one item; check the file")
        columns.append(items)
        files += read_files
    shortest, longest = min(columns, key=len), max(columns, key=len)
    if len(shortest) != len(longest):
        raise InputError(
            f"{files[columns.index(shortest)].path}: {len(shortest)} rows, but "
            f"{files[columns.index(longest)].path} has {len(longest)}: files that are read in parallel must "
            "have the same number of rows; correct them"
        )
    return [_merge(row) for row in zip(*columns, strict=True)], files


def _merge(row: Sequence[Item]) -> Item:
    """Merge the items that parallel files hold in the same row."""
    fields = {field: value for part in row for field, value in part.fields.items()}
    locations = {field: location for part in row for field, location in part.field_locations.items()}
    return Item(row[0].number, fields, locations, row[0].location)


def _read_file(name: str, path: str, file: SuiteFile) -> tuple[list[Item], list[DataFile]]:
    if file.format == "shards":
        return _read_validation_documents(name, path)
    if file.format == "text":
        return _read_text_files(name, path)
    text, sha256 = _read_text(path)
    parse = {"jsonl": _parse_jsonl, "csv": _parse_csv, "tsv": _parse_tsv, "lines": _parse_lines}[file.format]
    rows = enumerate(parse(text, path, file))
    items = [_item(number, fields, f"{path} line {line}") for number, (line, fields) in rows]
    return items, [DataFile(name, path, sha256, len(items))]


def _read_text_files(name: str, path: str) -> tuple[list[Item], list[DataFile]]:
    """Read a text file, or all files of a folder, as one item each; empty files have none."""
    texts = {info.path: _read_text(info.path) for info in storage.list_files(path)}
    files = [DataFile(name, file, sha256, int(bool(text))) for file, (text, sha256) in texts.items()]
    items = [
        _item(number, {"text": text, "file": storage.name(file)}, file)
        for number, (file, (text, _)) in enumerate(texts.items())
        if text
    ]
    return items, files


def _item(number: int, fields: Mapping[str, Any], location: str) -> Item:
    return Item(number, fields, dict.fromkeys(fields, location), location)


def _read_text(path: str) -> tuple[str, str]:
    """Return a file's text, decompressed if it is gzip, and the SHA-256 of the stored bytes."""
    data = storage.read_bytes(path)
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
        return data.decode("utf-8-sig"), sha256
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: broken gzip ({error}); download the file again") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; convert the file") from None


def _parse_jsonl(text: str, path: str, _: SuiteFile) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        yield number, jsonl.parse_object(line, f"{path} line {number}")


def _parse_csv(text: str, path: str, _: SuiteFile) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(MAX_CSV_FIELD)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    last_line = 1
    try:
        names = list(reader.fieldnames or ())
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{path} line 1: field {twice!r} occurs twice in the header line; rename one")
        for row in reader:
            if None in row:
                raise InputError(
                    f"{path} line {last_line + 1}: more fields than the header line; correct the line"
                )
            yield last_line + 1, {field: value for field, value in row.items() if value is not None}
            last_line = reader.line_num
    except csv.Error as error:
        raise InputError(f"{path} line {last_line + 1}: not CSV ({error}); correct the line") from None


def _parse_tsv(text: str, path: str, file: SuiteFile) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in _numbered_lines(text):
        values = line.split("\t")
        if len(values) != len(file.fields):
            raise InputError(
                f"{path} line {number}: {len(values)} fields, but {len(file.fields)} are needed "
                f"({', '.join(file.fields)}), separated by tabs; correct the line"
            )
        yield number, dict(zip(file.fields, values, strict=True))


def _parse_lines(text: str, _: str, file: SuiteFile) -> Iterator[tuple[int, dict[str, Any]]]:
    """Keep empty lines, since parallel files are aligned by line number."""
    for number, line in _numbered_lines(text):
        yield number, {file.fields[0]: line}


def _numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    lines = text.removesuffix("\n").split("\n") if text else []
    for number, line in enumerate(lines, 1):
        yield number, line.removesuffix("\r")


def _read_validation_documents(name: str, run: str) -> tuple[list[Item], list[DataFile]]:
    """Read the validation documents of a run from its shards, as fields text, source and document_id.

    Documents are decoded to text, so that models with any tokenizer can be evaluated on them. Sources
    alternate, so that a limited number of items has documents of each. All texts are held in memory.
    """
    shards = Shards.open(storage.join(run, "shards"))
    tokenizer = load_published(storage.join(run, "tokenizer"))
    check_tokenizer(shards, tokenizer)
    rows = [
        (turn, source, document_id, tokenizer.decode(tokens))
        for source in shards.sources
        for turn, (document_id, tokens) in enumerate(_document_tokens(shards, source).items())
    ]
    nonempty = sorted(row for row in rows if row[-1])
    items = [
        _item(
            number,
            {"text": text, "source": source, "document_id": document_id},
            f"{run}: document {document_id}",
        )
        for number, (_, source, document_id, text) in enumerate(nonempty)
    ]
    return items, [DataFile(name, run, shards.manifest.sha256(), len(items))]


def _document_tokens(shards: Shards, source: str) -> dict[str, list[int]]:
    """Return the tokens of each validation document of a source by its id, in row order."""
    tokens, spans = shards.read("validation", source, np.arange(shards.rows("validation", source)))
    rows = np.repeat(np.arange(len(tokens)), np.diff(spans.bounds))
    segments: dict[str, list[tuple[int, list[int]]]] = {}
    columns = (rows, spans.document_id, spans.start, spans.length, spans.offset)
    for row, document_id, start, length, offset in zip(*columns, strict=True):
        segment = int(offset), tokens[row, start : start + length].tolist()
        segments.setdefault(document_id.tobytes().hex(), []).append(segment)
    return {
        document_id: [token for _, ids in sorted(parts) for token in ids]
        for document_id, parts in segments.items()
    }

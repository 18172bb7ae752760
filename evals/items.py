"""Task files as items: rows of fields, each of which knows where it stands."""

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np

from core import storage
from core.errors import InputError
from core.shards import Shards, check_tokenizer
from core.tokenizer import SentencePieceTokenizer
from evals.suite import FOLDER, File, Named, fill, needed

LARGEST_FIELD = 1 << 24
"""Characters of a CSV field at most; the csv module's own limit is lower."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file that items came from."""

    name: str
    path: str
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class Item:
    """One row: its fields, and where each was read."""

    number: int
    """From 0."""
    fields: Mapping[str, Any]
    places: Mapping[str, str]
    place: str

    def value(self, field: str) -> Any:
        """A field of any type. Raises :class:`InputError` where it is missing."""
        if field not in self.fields:
            has = ", ".join(map(str, self.fields)) or "none"
            raise InputError(
                f"{self.place}: no field {field!r} (it has {has}); add it, give the file that has it by "
                "--data, or name the file's own field in a suite of your own"
            )
        return self.fields[field]

    def text(self, field: str) -> str:
        """A field that is text."""
        value = self.value(field)
        if not isinstance(value, str):
            raise self.wrong(field, "must be text")
        return value

    def filled(self, template: str) -> str:
        """A suite's template with this item's fields."""
        for field in sorted(needed(template)):
            self.value(field)
        try:
            return fill(template, self.fields)
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise InputError(
                f"{self.place}: {template!r:.60} cannot be filled ({error}); correct the item or the suite"
            ) from None

    def wrong(self, field: str, rule: str) -> InputError:
        """The error that a field's value breaks a rule."""
        value = self.fields.get(field)
        place = self.places.get(field, self.place)
        return InputError(f"{place}: field {field!r} is {value!r:.60}: {rule}; correct the file")


def read(named: Named, paths: Mapping[str, str]) -> tuple[list[Item], list[DataFile]]:
    """All items of a suite from the files that ``--data`` names.

    Raises :class:`InputError` where a file is not named, not there, empty or faulty, or where files that are
    read side by side differ in length.
    """
    files: list[DataFile] = []
    columns: list[list[Item]] = []
    for file in named.suite.files:
        name = named.data_name(file)
        path = paths.get(name) or (str(FOLDER / file.builtin) if file.builtin else "")
        if not path and file.optional:
            continue
        if not path:
            raise InputError(
                f"suite {named.name} needs data that is not part of it; say where it lies with "
                f"--data {name}=PATH"
            )
        rows, read_files = _read(name, path, file)
        if not rows:
            raise InputError(f"{path}: empty: suite {named.name} needs at least one item; check the file")
        columns.append(rows)
        files += read_files
    shortest, longest = min(columns, key=len), max(columns, key=len)
    if len(shortest) != len(longest):
        raise InputError(
            f"{files[columns.index(shortest)].path}: {len(shortest)} rows, but "
            f"{files[columns.index(longest)].path} has {len(longest)}: files that are read side by side must "
            "have equally many; correct them"
        )
    return [_merged(parts) for parts in zip(*columns, strict=True)], files


def _merged(parts: Sequence[Item]) -> Item:
    first = parts[0]
    fields = {field: value for part in parts for field, value in part.fields.items()}
    places = {field: place for part in parts for field, place in part.places.items()}
    return Item(first.number, fields, places, first.place)


def _read(name: str, path: str, file: File) -> tuple[list[Item], list[DataFile]]:
    if file.format == "shards":
        return _validation_documents(name, path)
    if file.format == "text":
        listed = [info.path for info in storage.list_files(path)]
        texts = [_text(each) for each in listed]
        items = [
            _item(number, {"text": text, "file": storage.name(each)}, each)
            for number, (each, (text, _)) in enumerate(zip(listed, texts, strict=True))
            if text
        ]
        files = zip(listed, texts, strict=True)
        return items, [DataFile(name, each, sha256, int(bool(text))) for each, (text, sha256) in files]
    text, sha256 = _text(path)
    rows = {"jsonl": _jsonl, "csv": _csv, "tsv": _tsv, "lines": _lines}[file.format](text, path, file)
    items = [_item(number, fields, f"{path} line {line}") for number, (line, fields) in enumerate(rows)]
    return items, [DataFile(name, path, sha256, len(items))]


def _item(number: int, fields: Mapping[str, Any], place: str) -> Item:
    return Item(number, fields, dict.fromkeys(fields, place), place)


def _text(path: str) -> tuple[str, str]:
    """A file's text, unpacked if it is gzipped, and the SHA-256 of the file as it lies."""
    data = storage.read_bytes(path)
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
        return data.decode("utf-8-sig"), sha256
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: broken gzip ({error}); fetch the file again") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; convert the file") from None


def _jsonl(text: str, path: str, _: File) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path} line {number}: not JSON ({error.msg}); correct the line") from None
        if not isinstance(row, dict):
            raise InputError(f"{path} line {number}: must be a JSON object; correct the line")
        yield number, row


def _csv(text: str, path: str, _: File) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(LARGEST_FIELD)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    before = 1
    try:
        for row in reader:
            if None in row:
                raise InputError(
                    f"{path} line {before + 1}: more fields than the first line names; correct the line"
                )
            yield before + 1, {field: value for field, value in row.items() if value is not None}
            before = reader.line_num
    except csv.Error as error:
        raise InputError(f"{path} line {before + 1}: not CSV ({error}); correct the line") from None


def _tsv(text: str, path: str, file: File) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in _numbered(text):
        values = line.split("\t")
        if len(values) != len(file.fields):
            raise InputError(
                f"{path} line {number}: {len(values)} fields, but {len(file.fields)} are needed "
                f"({', '.join(file.fields)}), with tabs between; correct the line"
            )
        yield number, dict(zip(file.fields, values, strict=True))


def _lines(text: str, _: str, file: File) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every line counts, also an empty one: files are read side by side."""
    for number, line in _numbered(text):
        yield number, {file.fields[0]: line}


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    lines = text.removesuffix("\n").split("\n") if text else []
    for number, line in enumerate(lines, 1):
        yield number, line.removesuffix("\r")


def _validation_documents(name: str, run: str) -> tuple[list[Item], list[DataFile]]:
    """The validation documents of a run, put together from its shards: text, source, document id.

    Any model can read them, whatever its tokenizer. The sources take turns, so that the first so many are a
    fair sample of each. All texts are held in memory.
    """
    shards = Shards.open(storage.join(run, "shards"))
    tokenizer = SentencePieceTokenizer.load(storage.join(run, "tokenizer"))
    check_tokenizer(shards, tokenizer)
    rows = [
        (turn, source, document, tokenizer.decode(tokens))
        for source in shards.sources
        for turn, (document, tokens) in enumerate(_documents(shards, source).items())
    ]
    items = [
        _item(
            number, {"text": text, "source": source, "document_id": document}, f"{run}: document {document}"
        )
        for number, (_, source, document, text) in enumerate(sorted(row for row in rows if row[-1]))
    ]
    return items, [DataFile(name, run, shards.manifest.sha256(), len(items))]


def _documents(shards: Shards, source: str) -> dict[str, list[int]]:
    """All tokens of each validation document of a source, by its id, in the order of the rows."""
    tokens, spans = shards.read("validation", source, np.arange(shards.rows("validation", source)))
    rows = np.repeat(np.arange(len(tokens)), np.diff(spans.bounds))
    pieces: dict[str, list[tuple[int, list[int]]]] = {}
    columns = (rows, spans.document_id, spans.start, spans.length, spans.offset)
    for row, document, start, length, offset in zip(*columns, strict=True):
        piece = int(offset), tokens[row, start : start + length].tolist()
        pieces.setdefault(document.tobytes().hex(), []).append(piece)
    return {
        document: [token for _, ids in sorted(parts) for token in ids] for document, parts in pieces.items()
    }

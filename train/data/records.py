"""Read files of examples as conversations, by presets (``presets/``) that map record fields to messages.

An input is a JSONL file, or a pair of text files with corresponding lines. A preset lists the accepted record
forms: a field with a list of messages, or message templates filled from fields. Errors name file and line.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple, get_args

from core import config, jsonl, storage
from core.config import FinetuneConfig, Section
from core.errors import ConfigError, InputError
from core.tokenizer.chat import Message, Role

PRESETS = Path(__file__).parent / "presets"
ROLES: tuple[str, ...] = get_args(Role)
PLACEHOLDER = re.compile(r"\{\{ *(\w+) *\}\}")
ExampleFile = str | tuple[str, str]
"""A JSONL file or a pair of text files."""


class MessageTemplate(Section):
    """Template of a message."""

    role: Role
    content: str
    """Text with ``{{ name }}`` for a record's field or a user-supplied value."""


class RecordForm(Section):
    """One accepted form of a record: a field with messages, or templates."""

    messages: str = ""
    """Field with a list of messages; if empty, ``turns`` apply."""
    turns: tuple[MessageTemplate, ...] = ()

    @property
    def names(self) -> set[str]:
        """All field and value names of this form."""
        placeholders = {name for turn in self.turns for name in PLACEHOLDER.findall(turn.content)}
        return placeholders | ({self.messages} if self.messages else set())


class Preset(Section):
    """Accepted record forms; the first that matches a record applies."""

    forms: tuple[RecordForm, ...]
    pair: tuple[str, str] | None = None
    """Fields that a pair of text files provides; None: pairs are not accepted."""
    values: tuple[str, ...] = ()
    """Names of values that the user supplies for all records."""


class Row(NamedTuple):
    """An unparsed record."""

    location: str
    """File and line."""
    content: str | dict[str, str]
    """A line of JSON, or the fields from the lines of a pair of files."""


class RecordReader:
    """Reads example files by the preset in a configuration.

    Raises :class:`ConfigError` for an unknown preset, and for values or fields that the preset does not have.
    """

    def __init__(self, settings: FinetuneConfig) -> None:
        self._name = settings.preset
        self._preset = _load_preset(settings.preset)
        self._values, self._fields = settings.values, settings.fields
        given, required = set(settings.values), set(self._preset.values)
        if given != required:
            name = sorted(given ^ required)[0]
            problem = "missing" if name in required else "unknown"
            raise ConfigError(
                f"finetune.values: {name} is {problem}: preset {self._name} takes "
                f"{_sorted_list(required) or 'none'}; set these"
            )
        known = {name for form in self._preset.forms for name in form.names} - required
        if unknown := sorted(set(settings.fields) - known):
            raise ConfigError(
                f"finetune.fields.{unknown[0]}: preset {self._name} has no such field; it has "
                f"{_sorted_list(known)}"
            )
        for file in (*settings.files, *settings.validation_files):
            if not isinstance(file, str):
                self._pair_fields()

    def rows(self, file: ExampleFile) -> Iterator[Row]:
        """Yield the non-empty lines of a file, or the lines of a pair of files.

        Raises :class:`InputError` for unreadable files.
        """
        if not isinstance(file, str):
            return self._paired_lines(*file)
        lines = enumerate(_lines(file), 1)
        return (Row(f"{file}, line {number}", line) for number, line in lines if line.strip())

    def conversation(self, row: Row) -> list[Message]:
        """Parse a record. Raises :class:`InputError` if it is not a conversation."""
        location, content = row
        record = jsonl.parse_object(content, location) if isinstance(content, str) else content
        return self._conversation(location, record)

    def _paired_lines(self, first: str, second: str) -> Iterator[Row]:
        names = self._pair_fields()
        for number, lines in enumerate(zip_longest(_lines(first), _lines(second)), 1):
            if None in lines:
                shorter = (first, second)[lines.index(None)]
                raise InputError(
                    f"{shorter}: ends before line {number}, but {first} and {second} must have the same "
                    "number of lines; use files that belong together"
                )
            yield Row(f"{first}, line {number}", dict(zip(names, lines, strict=True)))

    def _pair_fields(self) -> list[str]:
        """Return the fields of a pair of text files; raise :class:`ConfigError` if pairs are rejected."""
        if self._preset.pair is None:
            raise ConfigError(
                f"finetune.files: preset {self._name} does not accept pairs of text files; use JSONL"
            )
        return [self._fields.get(name, name) for name in self._preset.pair]

    def _conversation(self, location: str, record: Mapping[str, Any]) -> list[Message]:
        values = set(self._preset.values)
        for form in self._preset.forms:
            fields = {name: self._fields.get(name, name) for name in form.names - values}
            if all(field in record for field in fields.values()):
                if form.messages:
                    return _parse_messages(location, record[fields[form.messages]])
                texts = {name: _text(location, field, record[field]) for name, field in fields.items()}
                return [_fill(template, texts | self._values) for template in form.turns]
        forms = " or ".join(_sorted_list(form.names - values) for form in self._preset.forms)
        raise InputError(
            f"{location}: has the fields {_sorted_list(record) or 'none'}, but preset {self._name} needs "
            f"{forms}; correct it, choose another finetune.preset or map them in finetune.fields"
        )


def source_name(file: ExampleFile) -> str:
    """Return the source of a file's examples: the (first) file name without extensions."""
    return storage.name(file if isinstance(file, str) else file[0]).split(".")[0]


def _load_preset(name: str) -> Preset:
    path = Path(name) if name.endswith(".toml") else PRESETS / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(preset.stem for preset in PRESETS.glob("*.toml")))
        raise ConfigError(
            f"finetune.preset = {name}: no such preset; choose from {known} or give the path of a .toml file"
        )
    return config.parse(config.parse_toml(str(path), path.read_bytes()), Preset)


def _lines(path: str) -> Iterator[str]:
    """Yield the lines of a text file, decompressed if its name ends in ``.gz``."""
    number = 1
    with storage.open_read(path) as stream:
        raw = gzip.GzipFile(fileobj=stream) if path.endswith(".gz") else stream
        try:
            for line in raw:
                yield line.decode("utf-8-sig").rstrip("\r\n")
                number += 1
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise InputError(
                f"{path}, line {number}: not readable as UTF-8 text ({error}); get the file again"
            ) from None


def _parse_messages(location: str, value: object) -> list[Message]:
    """Validate a list of messages."""
    if not isinstance(value, list) or not value:
        raise InputError(f"{location}: messages must be a non-empty list; correct it")
    result = []
    for number, message in enumerate(value, 1):
        where = f"{location}, message {number}"
        if not isinstance(message, dict) or "role" not in message:
            raise InputError(f'{where}: has no role; write each message as {{"role": …, "content": …}}')
        if message["role"] not in ROLES:
            raise InputError(
                f"{where}: role {message['role']!r:.40}: must be one of {', '.join(ROLES)}; correct it"
            )
        content = _text(where, "content", message.get("content"))
        result.append(Message(message["role"], content))
    return result


def _text(location: str, field: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        shown = json.dumps(value, ensure_ascii=False)[:40]
        raise InputError(
            f"{location}: {field} is {shown}: must be non-empty text; correct or remove the record"
        )
    return value


def _fill(template: MessageTemplate, texts: Mapping[str, str]) -> Message:
    """Fill a template; placeholders within ``texts`` are not expanded."""
    return Message(template.role, PLACEHOLDER.sub(lambda match: texts[match[1]], template.content))


def _sorted_list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))

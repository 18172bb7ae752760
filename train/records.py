"""Files of examples as conversations: what a record means is data (``train/presets``), not code.

A file is JSONL, or a pair of text files whose lines belong together. A preset names the forms that a record
may have: a field with a list of messages, or turns whose contents are put together from fields. Whatever is
not as it must be is refused with its file and line.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, get_args

from core import config, storage
from core.config import FinetuneConfig, Section
from core.errors import ConfigError, InputError
from core.tokenizer.chat import Message, Role

PRESETS = Path(__file__).parent / "presets"
ROLES: tuple[str, ...] = get_args(Role)
PLACE = re.compile(r"\{\{ *(\w+) *\}\}")
"""Where a field's text goes."""
Entry = str | tuple[str, str]
"""A JSONL file or a pair of text files."""


class Turn(Section):
    """A message to be put together."""

    role: Role
    content: str
    """With ``{{ name }}`` for the text of a field, or for one of the values that the user gives."""


class Form(Section):
    """One shape of a record."""

    messages: str = ""
    """The field that holds the conversation; otherwise it is made of ``turns``."""
    turns: tuple[Turn, ...] = ()

    @property
    def names(self) -> set[str]:
        """Everything that its turns put in."""
        found = {name for turn in self.turns for name in PLACE.findall(turn.content)}
        return found | ({self.messages} if self.messages else set())


class Preset(Section):
    """The forms of a record, of which the first that fits is taken."""

    forms: tuple[Form, ...]
    pair: tuple[str, str] | None = None
    """The fields that a pair of text files gives."""
    values: tuple[str, ...] = ()
    """Names that the user gives a value, the same for all records."""


class Reader:
    """Reads files of examples by a preset.

    Raises :class:`ConfigError` for a preset that is not there, and for values and fields that are none.
    """

    def __init__(self, settings: FinetuneConfig) -> None:
        self._name = settings.preset
        self._preset = _load(settings.preset)
        self._values, self._fields = settings.values, settings.fields
        given, wanted = set(settings.values), set(self._preset.values)
        if given != wanted:
            name = sorted(given ^ wanted)[0]
            raise ConfigError(
                f"finetune.values: {name} is {'missing' if name in wanted else 'not asked for'}: preset "
                f"{self._name} takes {_list(wanted) or 'none'}; give these"
            )
        known = {name for form in self._preset.forms for name in form.names} - wanted
        if foreign := sorted(set(settings.fields) - known):
            raise ConfigError(
                f"finetune.fields.{foreign[0]}: preset {self._name} has no such field; it has {_list(known)}"
            )

    def read(self, entry: Entry) -> Iterator[tuple[str, list[Message]]]:
        """Each record's place (file and line) and its conversation.

        Raises :class:`InputError` for what cannot be read or is no conversation.
        """
        records = _json_lines(entry) if isinstance(entry, str) else self._pairs(*entry)
        for place, record in records:
            yield place, self._conversation(place, record)

    def _pairs(self, one: str, other: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if self._preset.pair is None:
            raise ConfigError(
                f"finetune.files: a pair of text files, but preset {self._name} takes none; give JSONL"
            )
        names = [self._fields.get(name, name) for name in self._preset.pair]
        for number, lines in enumerate(zip_longest(_lines(one), _lines(other)), 1):
            if None in lines:
                shorter = (one, other)[lines.index(None)]
                raise InputError(
                    f"{shorter}: ends before line {number}, but {one} and {other} must have the same number "
                    "of lines; give files that belong together"
                )
            yield f"{one}, line {number}", dict(zip(names, lines, strict=True))

    def _conversation(self, place: str, record: Mapping[str, Any]) -> list[Message]:
        for form in self._preset.forms:
            fields = {name: self._fields.get(name, name) for name in form.names - set(self._preset.values)}
            if all(field in record for field in fields.values()):
                if form.messages:
                    return _messages(place, record[fields[form.messages]])
                texts = {name: _text(place, field, record[field]) for name, field in fields.items()}
                return [_filled(turn, texts | self._values) for turn in form.turns]
        forms = " or ".join(_list(form.names - set(self._preset.values)) for form in self._preset.forms)
        raise InputError(
            f"{place}: has the fields {_list(record) or 'none'}, but preset {self._name} needs {forms}; "
            "correct it, choose another finetune.preset or name them in finetune.fields"
        )


def source_of(entry: Entry) -> str:
    """What the examples of an entry are called: the (first) file's name without its extensions."""
    return storage.name(entry if isinstance(entry, str) else entry[0]).split(".")[0]


def _load(name: str) -> Preset:
    path = Path(name) if name.endswith(".toml") else PRESETS / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in PRESETS.glob("*.toml")))
        raise ConfigError(
            f"finetune.preset = {name}: no such preset; choose from {known} or give the path of a .toml file"
        )
    return config.parse(config.parse_toml(str(path), path.read_bytes()), Preset)


def _lines(path: str) -> Iterator[str]:
    """The lines of a text file, unpacked if its name ends in ``.gz``."""
    number = 1
    with storage.open_read(path) as stream:
        raw = gzip.GzipFile(fileobj=stream) if path.endswith(".gz") else stream
        try:
            for line in raw:
                yield line.decode("utf-8-sig").rstrip("\r\n")
                number += 1
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise InputError(
                f"{path}, line {number}: not readable as UTF-8 text ({error}); get the file anew"
            ) from None


def _json_lines(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The place and the record of each line that is not empty."""
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            record = json.loads(line)
        except ValueError as error:
            raise InputError(f"{place}: not JSON ({error}); each line must be one JSON object") from None
        if not isinstance(record, dict):
            raise InputError(f"{place}: {line[:40]}: each line must be one JSON object; correct it")
        yield place, record


def _messages(place: str, value: object) -> list[Message]:
    """A list of messages, looked through."""
    if not isinstance(value, list) or not value:
        raise InputError(f"{place}: messages must be a list of one or more; correct it")
    result = []
    for number, message in enumerate(value, 1):
        where = f"{place}, message {number}"
        if not isinstance(message, dict) or "role" not in message:
            raise InputError(f'{where}: has no role; give each message {{"role": …, "content": …}}')
        if message["role"] not in ROLES:
            raise InputError(
                f"{where}: role {message['role']!r}: must be one of {', '.join(ROLES)}; correct it"
            )
        content = _text(where, "content", message.get("content"))
        result.append(Message(message["role"], content))
    return result


def _text(place: str, field: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        shown = json.dumps(value, ensure_ascii=False)[:40]
        raise InputError(f"{place}: {field} is {shown}: must be text, and some; correct or remove the record")
    return value


def _filled(turn: Turn, texts: Mapping[str, str]) -> Message:
    """A turn with texts put in; what these hold is not looked at again."""
    return Message(turn.role, PLACE.sub(lambda found: texts[found[1]], turn.content))


def _list(names: Any) -> str:
    return ", ".join(sorted(names))

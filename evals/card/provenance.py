"""Source files of a card, and values that record which of them they were read from.

Numbers read from a source file are wrapped as :class:`Number`. The cards' templates print no other numbers.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core import storage
from core.errors import ManifestError


@dataclass(frozen=True, slots=True)
class Number:
    """A number and the ids of its source files."""

    value: float
    source_ids: frozenset[int]

    def __truediv__(self, other: "Number") -> "Number":
        return Number(self.value / other.value, self.source_ids | other.source_ids)


class JsonNode:
    """An object or array of a source file. ``node.key`` and ``node["key"]`` are equal, as in templates."""

    def __init__(self, json_value: Any, source_ids: frozenset[int], name: str) -> None:
        self.json_value = json_value
        self.source_ids = source_ids
        self._name = name

    def __getitem__(self, key: str | int) -> Any:
        try:
            return self._wrap(self.json_value[key], str(key))
        except (KeyError, IndexError, TypeError):
            raise ManifestError(
                f"{self._name}: has no {key!r}, which a card needs; create the file again"
            ) from None

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        return self[key]

    def __contains__(self, key: object) -> bool:
        return key in self.json_value

    def get(self, key: str) -> Any:
        """Return the value of a key that not every file has; None without it."""
        return self[key] if key in self else None  # noqa: SIM401

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the elements of an array, or the keys of an object."""
        if isinstance(self.json_value, Mapping):
            return iter(self.json_value)
        return (self[index] for index in range(len(self.json_value)))

    def items(self) -> Iterator[tuple[str, Any]]:
        """Iterate over the keys and values of an object."""
        return ((key, self[key]) for key in self.json_value)

    def _wrap(self, value: Any, key: str) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return Number(value, self.source_ids)
        if isinstance(value, (Mapping, Sequence)) and not isinstance(value, str):
            return JsonNode(value, self.source_ids, f"{self._name}, {key}")
        return value


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A source file: its name on the card, and the SHA-256 of its bytes."""

    name: str
    sha256: str


class SourceFiles:
    """The source files of one card. Ids start at 1, in the order of reading."""

    def __init__(self) -> None:
        self.files: list[SourceFile] = []

    def add(self, name: str, sha256: str) -> frozenset[int]:
        """Add a file and return the ids to put on its numbers."""
        self.files.append(SourceFile(name, sha256))
        return frozenset({len(self.files)})

    def read_json(self, path: str, name: str) -> JsonNode:
        """Read a JSON file and add it under ``name``. Raises :class:`ManifestError` if it is not JSON."""
        data = storage.read_bytes(path)
        try:
            json_value = json.loads(data)
        except ValueError as error:
            raise ManifestError(f"{path}: not JSON ({error}); create the file again") from None
        return JsonNode(json_value, self.add(name, hashlib.sha256(data).hexdigest()), path)

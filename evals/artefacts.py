"""Files that cards are made from, and values that know which file they come from.

A card may print a number only if an artefact stands behind it. What is read from one is wrapped, so that
every number in it is a :class:`Number`, and the cards' templates print no others.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core import storage
from core.errors import ManifestError


@dataclass(frozen=True, slots=True)
class Number:
    """A number and the artefacts behind it."""

    value: float
    behind: frozenset[int]

    def __truediv__(self, other: "Number") -> "Number":
        return Number(self.value / other.value, self.behind | other.behind)


class Source:
    """A part of an artefact: ``source.key`` and ``source["key"]`` are its parts, as in a template."""

    def __init__(self, tree: Any, behind: frozenset[int], name: str) -> None:
        self.tree = tree
        self.behind = behind
        self._name = name

    def __getitem__(self, key: str | int) -> Any:
        try:
            return self._wrapped(self.tree[key], str(key))
        except (KeyError, IndexError, TypeError):
            raise ManifestError(
                f"{self._name}: says nothing of {key!r}, which a card must tell; make it again"
            ) from None

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        return self[key]

    def __contains__(self, key: object) -> bool:
        return key in self.tree

    def __iter__(self) -> Iterator[Any]:
        """Of a list its parts, of a table its keys."""
        if isinstance(self.tree, Mapping):
            return iter(self.tree)
        return (self[index] for index in range(len(self.tree)))

    def items(self) -> Iterator[tuple[str, Any]]:
        """Keys and parts of a table."""
        return ((key, self[key]) for key in self.tree)

    def _wrapped(self, value: Any, key: str) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return Number(value, self.behind)
        if isinstance(value, (Mapping, Sequence)) and not isinstance(value, str):
            return Source(value, self.behind, f"{self._name}, {key}")
        return value


@dataclass(frozen=True, slots=True)
class Artefact:
    """One file: how the card calls it, and the SHA-256 of its bytes."""

    path: str
    sha256: str


class Artefacts:
    """The files of one card, numbered from 1 in the order in which they were read."""

    def __init__(self) -> None:
        self.listed: list[Artefact] = []

    def add(self, path: str, sha256: str) -> frozenset[int]:
        """Put a file on the list; what its numbers are marked with."""
        self.listed.append(Artefact(path, sha256))
        return frozenset({len(self.listed)})

    def read(self, path: str, shown: str, parse: Callable[[bytes], Any] = json.loads) -> Source:
        """A JSON file, on the list as ``shown``. Raises :class:`ManifestError` if it is no JSON."""
        data = storage.read_bytes(path)
        try:
            tree = parse(data)
        except ValueError as error:
            raise ManifestError(f"{path}: not JSON ({error}); make it again") from None
        return Source(tree, self.add(shown, hashlib.sha256(data).hexdigest()), path)

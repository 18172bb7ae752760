"""Typed access to the settings of a foreign model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import ModelError


class Settings:
    """Reads values of the file at ``path``; raises :class:`ModelError` for invalid ones."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self.path, self._values = path, values

    def value(self, key: str) -> Any:
        """Return any value, or None if absent."""
        return self._values.get(key)

    def boolean(self, key: str) -> bool:
        """Return True if a value is set and not false."""
        return bool(self._values.get(key))

    def integer(self, key: str, default: int | None = None) -> int:
        """Return an integer of at least 0, or ``default`` if absent or null; without default, at least 1."""
        value = self._values.get(key)
        value = default if value is None else value
        minimum = 1 if default is None else 0
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise ModelError(
                f"{self.path}: {key} = {value!r}; must be an integer of at least {minimum}: get the file "
                "again"
            )
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number, or ``default`` if absent or null."""
        value = self._values.get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ModelError(f"{self.path}: {key} = {value!r}; must be a number: get the file again")
        return float(value)

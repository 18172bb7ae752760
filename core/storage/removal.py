"""Remove tables together with the marks that they are finished."""

from collections.abc import Sequence

from core import storage

DONE = ".done"
"""Ending of the mark beside a finished table."""


def remove_marked(paths: Sequence[str]) -> None:
    """Remove files and folders that exist, all marks in them first: what is half removed is not marked."""
    for mark in (mark for path in paths for mark in _marks_in(path)):
        storage.remove(mark)
    for path in paths:
        storage.remove(path)


def _marks_in(path: str) -> list[str]:
    """Return the paths of the marks in a folder; the path itself if it is one."""
    fs, inner = storage.filesystem(path)
    found = (path + each.removeprefix(inner) for each in fs.find(inner))
    return [each for each in found if each.endswith(DONE)]

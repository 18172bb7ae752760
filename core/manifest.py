"""Manifests: the output of a stage exists once its ``manifest.json`` does.

They are written by :class:`core.stage.Stage` and read by the stages that follow.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core import storage
from core.errors import ManifestError, MissingFileError, UnavailableError
from core.storage import locks, retries

SCHEMA_VERSION = 1
NAME = "manifest.json"
CORPUS_STAGES = ("clean", "dedup")
"""Stages that publish documents and a ledger."""
STARTED = "started.json"
"""Marks a claimed folder until the manifest is written."""


class FileEntry(BaseModel):
    """One file of a stage: its path relative to the stage's folder, bytes, rows and SHA-256."""

    model_config = ConfigDict(frozen=True)
    path: str
    size: int = Field(ge=0)
    rows: int = Field(ge=0)
    sha256: str


class Manifest(BaseModel):
    """The output of a finished stage, its inputs and its configuration."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")
    stage: str
    schema_version: int = SCHEMA_VERSION
    fingerprint: str
    config: dict[str, Any]
    inputs: list[str]
    skipped_inputs: dict[str, str] = {}
    """The cause for each path among the inputs that was not read."""
    counts: dict[str, int]
    files: list[FileEntry]
    facts: dict[str, Any] = {}
    """Stage-specific values that later stages need, such as a tokenizer's hash."""

    def sha256(self) -> str:
        """Return the hash by which other stages refer to this output. It is independent of locations."""
        hashed = self.model_dump(mode="json", include={"stage", "schema_version", "counts", "facts"})
        hashed["files"] = sorted((file.path, file.sha256) for file in self.files)
        return hashlib.sha256(canonical(hashed)).hexdigest()


def fingerprint(stage: str, config: Mapping[str, Any], inputs: Iterable[str]) -> str:
    """Return the SHA-256 of what a stage's output depends on: its name, configuration and inputs."""
    return hashlib.sha256(canonical([stage, SCHEMA_VERSION, config, list(inputs)])).hexdigest()


def canonical(value: object) -> bytes:
    """Encode a value for hashing: JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def file_entry(folder: str, path: str, rows: int = 0) -> FileEntry:
    """Describe the file at ``path``, relative to ``folder``, by reading it back from storage."""
    size, sha256 = storage.checksum(storage.join(folder, path))
    return FileEntry(path=path, size=size, rows=rows, sha256=sha256)


def publish(folder: str, manifest: Manifest) -> None:
    """Write ``manifest`` to ``folder`` and remove the mark of the attempt.

    Raises :class:`OutputError` if this process has lost the lock of the folder.
    """
    data = manifest.model_dump_json(indent=2).encode() + b"\n"  # there may be millions of files
    try:
        _write_locked(folder, data)
    except UnavailableError:
        _write_locked(folder, data)  # its check waits longer for the storage
    locks.check(folder)
    storage.remove(storage.join(folder, STARTED))


def _write_locked(folder: str, data: bytes) -> None:
    """Write the manifest while the lock of the folder, if there is one, cannot be taken over."""
    locks.check(folder)
    with retries.limited(locks.WRITE_SECONDS):
        storage.write_atomic(storage.join(folder, NAME), data)


def read(folder: str, *stages: str) -> Manifest:
    """Return the manifest of a finished stage, which is one of ``stages``.

    Raises :class:`ManifestError` if it is missing or invalid.
    """
    try:
        return parse(folder, *stages)
    except MissingFileError:
        several = f"neither {' nor '.join(stages)} was run, or it"
        cause = several if len(stages) > 1 else f"{stages[0]} was not run or"
        message = f"{folder}: has no {NAME}: {cause} was cut short; run it (again)"
        raise ManifestError(message) from None


def parse(folder: str, *stages: str) -> Manifest:
    """Return the manifest in ``folder``, of one of ``stages``.

    Raises :class:`MissingFileError` if there is none, and :class:`ManifestError` if it is invalid.
    """
    path, needed = storage.join(folder, NAME), " or ".join(stages)
    try:
        manifest = Manifest.model_validate_json(storage.read_bytes(path))
    except ValidationError:
        raise ManifestError(f"{path}: not a Gristmill manifest; remove the folder and run {needed}") from None
    if manifest.schema_version != SCHEMA_VERSION:
        raise ManifestError(
            f"{path}: schema version {manifest.schema_version}, but this program reads {SCHEMA_VERSION}; "
            f"run {needed} again"
        )
    if manifest.stage not in stages:
        raise ManifestError(f"{path}: of stage {manifest.stage}, but {needed} is needed; correct the path")
    return manifest


def verify(folder: str, manifest: Manifest) -> None:
    """Compare every file's size and SHA-256. Raises :class:`ManifestError` at the first mismatch."""
    for entry in manifest.files:
        verify_file(folder, entry)


def verify_file(folder: str, entry: FileEntry) -> None:
    """Compare one file's size and SHA-256 with its entry. Raises :class:`ManifestError` on a mismatch."""
    path = storage.join(folder, entry.path)
    try:
        found = storage.checksum(path)
    except MissingFileError:
        raise ManifestError(f"{path}: listed in {NAME} but missing; run the stage again") from None
    if found != (entry.size, entry.sha256):
        raise ManifestError(
            f"{path}: {found[0]} bytes with SHA-256 {found[1][:12]}…, but {NAME} says {entry.size} bytes "
            f"with {entry.sha256[:12]}…: it was altered; restore it or run the stage again"
        )

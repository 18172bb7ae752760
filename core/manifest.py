"""Manifest last: a stage's output exists only once its ``manifest.json`` does.

A stage calls :func:`begin` with the fingerprint of everything its output depends on. Same fingerprint and a
manifest: nothing to do. Same fingerprint without one: an earlier attempt was cut short and is taken up again.
Another fingerprint: refused, unless the configuration says ``output.overwrite``.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from core import storage
from core.errors import ManifestError, OutputError

SCHEMA_VERSION = 1
NAME = "manifest.json"
STARTED = "started.json"
REMEDY = "choose another output.path or replace it with --set output.overwrite=true"


class FileEntry(BaseModel):
    """One file of a stage: its path below the stage's folder, bytes, rows and SHA-256."""

    model_config = ConfigDict(frozen=True)
    path: str
    size: int
    rows: int
    sha256: str


class Manifest(BaseModel):
    """What a finished stage wrote, from what, and under which configuration."""

    model_config = ConfigDict(frozen=True)
    stage: str
    schema_version: int = SCHEMA_VERSION
    fingerprint: str
    config: dict[str, Any]
    inputs: list[str]
    counts: dict[str, int]
    files: list[FileEntry]
    facts: dict[str, Any] = {}
    """Whatever else the stage's readers need, such as a tokenizer's hash."""

    def sha256(self) -> str:
        """The hash by which other stages name this output. Storage locations do not enter it."""
        named = self.model_dump(mode="json", include={"stage", "schema_version", "counts", "facts"})
        named["files"] = sorted((file.path, file.sha256) for file in self.files)
        return hashlib.sha256(canonical(named)).hexdigest()


def file_entry(folder: str, path: str, rows: int = 0) -> FileEntry:
    """Describe the file at ``path`` below ``folder``, read back from where it was written."""
    size, sha256 = storage.checksum(storage.join(folder, path))
    return FileEntry(path=path, size=size, rows=rows, sha256=sha256)


def canonical(value: object) -> bytes:
    """JSON with sorted keys and no spaces, for hashing."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def fingerprint(stage: str, config: Mapping[str, Any], inputs: Iterable[str]) -> str:
    """SHA-256 over what a stage's output depends on: its name, configuration and inputs."""
    return hashlib.sha256(canonical([stage, SCHEMA_VERSION, config, list(inputs)])).hexdigest()


def begin(
    folder: str,
    stage: str,
    fingerprint: str,
    *,
    overwrite: bool = False,
    owned: Sequence[str] = (),
    remedy: str = REMEDY,
) -> Manifest | None:
    """Claim ``folder`` for a stage; its manifest if it is already done, else None: go to work.

    A stage that shares its folder with others names its own entries (``owned``); resumed, it finds what it
    left in them. A stage without owned entries has the folder for itself and finds it empty.
    Raises :class:`OutputError` if the folder holds anything but this stage under this fingerprint; ``remedy``
    says how this command line lets that be replaced.
    """
    found = _parse(folder, stage) if storage.exists(storage.join(folder, NAME)) else None
    if found and found.fingerprint == fingerprint:
        return found
    mark = canonical({"stage": stage, "fingerprint": fingerprint})
    started = storage.join(folder, STARTED)
    resumed = not found and storage.exists(started) and storage.read_bytes(started) == mark
    if not resumed and storage.exists(folder):
        if not overwrite:
            _refuse(folder, stage, remedy, finished=found is not None, unfinished=storage.exists(started))
        storage.remove(storage.join(folder, NAME))
    if owned and not resumed:
        for entry in owned:
            storage.remove(storage.join(folder, entry))
    elif not owned:
        storage.remove(folder)
    storage.write_atomic(started, mark)
    return None


def _refuse(folder: str, stage: str, remedy: str, *, finished: bool, unfinished: bool) -> None:
    what = "files that are not Gristmill's"
    if finished or unfinished:
        what = f"{'a finished' if finished else 'an unfinished'} {stage} of another configuration or input"
    raise OutputError(f"{folder}: holds {what}, which would be lost; {remedy}")


def publish(folder: str, manifest: Manifest) -> None:
    """Make a stage's output exist."""
    data = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
    storage.write_atomic(storage.join(folder, NAME), data.encode() + b"\n")
    storage.remove(storage.join(folder, STARTED))


def read(folder: str, stage: str) -> Manifest:
    """The manifest of a finished stage. Raises :class:`ManifestError` if there is none or it does not fit."""
    if not storage.exists(storage.join(folder, NAME)):
        raise ManifestError(
            f"{folder}: has no {NAME}: the {stage} stage was not run or was cut short; run it (again)"
        )
    return _parse(folder, stage)


def _parse(folder: str, stage: str) -> Manifest:
    """Parse and check the manifest that stands in ``folder``."""
    path = storage.join(folder, NAME)
    try:
        manifest = Manifest.model_validate_json(storage.read_bytes(path))
    except ValidationError:
        raise ManifestError(f"{path}: not a Gristmill manifest; remove the folder and run {stage}") from None
    if manifest.schema_version != SCHEMA_VERSION:
        raise ManifestError(
            f"{path}: schema version {manifest.schema_version}, but this program reads {SCHEMA_VERSION}; "
            f"run {stage} again"
        )
    if manifest.stage != stage:
        raise ManifestError(f"{path}: of stage {manifest.stage}, but {stage} is needed; correct the path")
    return manifest


def verify(folder: str, manifest: Manifest) -> None:
    """Compare every file's size and SHA-256. Raises :class:`ManifestError` at the first that differs."""
    for entry in manifest.files:
        verify_file(folder, entry)


def verify_file(folder: str, entry: FileEntry) -> None:
    """Compare one file's size and SHA-256 with its entry. Raises :class:`ManifestError` if it differs."""
    path = storage.join(folder, entry.path)
    if not storage.exists(path):
        raise ManifestError(f"{path}: listed in {NAME} but missing; run the stage again")
    if (found := storage.checksum(path)) != (entry.size, entry.sha256):
        raise ManifestError(
            f"{path}: {found[0]} bytes with SHA-256 {found[1][:12]}…, but {NAME} says {entry.size} bytes "
            f"with {entry.sha256[:12]}…: it was altered; restore it or run the stage again"
        )

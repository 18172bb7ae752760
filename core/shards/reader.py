"""Read rows of local and remote shards.

Local files are memory-mapped. Remote files are downloaded when first used, into a cache that is keyed by
their SHA-256: it can hold several sets of shards and never returns an outdated file.
"""

import tempfile
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import ValidationError

from core import manifest, storage
from core.errors import InputError, ManifestError, MismatchError
from core.manifest import FileEntry, Manifest
from core.shards.format import STAGE, Facts, Rows, Spans, SplitName, schema, split_and_source


class HasHash(Protocol):
    """An object with a SHA-256, such as a tokenizer."""

    sha256: str


class Shards:
    """A published set of shards. Rows are numbered per split and source, across its files in path order."""

    def __init__(self, folder: str, found: Manifest, *, verify: bool, cache: Path) -> None:
        self.folder = folder
        self.manifest = found
        self.facts = _facts(folder, found)
        self.sources: tuple[str, ...] = tuple(
            sorted({source for totals in self.facts.sources.values() for source in totals})
        )
        self._verify = verify
        self._cache = cache
        self._opened: dict[str, Rows] = {}
        self._entries: dict[tuple[SplitName, str], list[FileEntry]] = {}
        for entry in sorted(found.files, key=lambda entry: entry.path):
            self._entries.setdefault(split_and_source(entry.path), []).append(entry)

    @staticmethod
    def open(folder: str, verify: bool = True, cache: str | None = None) -> "Shards":
        """Open a set of shards and compare every file's size with the manifest.

        With ``verify``, a file's SHA-256 is compared before its first row is read; :meth:`verify` compares
        all files at once. ``cache`` is the folder for copies of remote files. Raises :class:`ManifestError`.
        """
        found = manifest.read(folder, STAGE)
        _check_sizes(folder, found)
        return Shards(folder, found, verify=verify, cache=Path(cache) if cache else default_cache())

    def rows(self, split: SplitName, source: str) -> int:
        """Return the number of rows of a split and source."""
        totals = self.facts.sources[split].get(source)
        return totals.rows if totals else 0

    @property
    def groups(self) -> list[tuple[SplitName, str]]:
        """All pairs of a split and a source that have files, sorted."""
        return sorted(self._entries)

    def files(self, split: SplitName, source: str) -> list[FileEntry]:
        """Return the files of a split and source, in the order of their rows."""
        return self._entries.get((split, source), [])

    def read(
        self, split: SplitName, source: str, indices: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.unsignedinteger], Spans]:
        """Return tokens, unsigned[n, sequence_length + 1], and spans of the n rows at ``indices``."""
        indices = np.asarray(indices, np.int64)
        entries = self.files(split, source)
        bounds = np.cumsum([0, *(entry.rows for entry in entries)])
        if len(indices) and not 0 <= indices.min() <= indices.max() < bounds[-1]:
            raise InputError(
                f"{self.folder}: rows {indices.min()} to {indices.max()} of {split}/{source}, which has "
                f"{bounds[-1]}; ask for rows within it"
            )
        parts = np.searchsorted(bounds, indices, side="right") - 1
        taken = [
            self._rows(entries[part]).take(indices[parts == part] - bounds[part]) for part in np.unique(parts)
        ]
        rows = _join(taken, self.facts)
        # The rows are grouped by file: restore the requested order.
        order = np.empty(len(indices), np.int64)
        order[np.argsort(parts, kind="stable")] = np.arange(len(indices))
        return rows.tokens[order], rows.spans.take(order)

    def verify(self) -> None:
        """Compare the SHA-256 of every file. Raises :class:`ManifestError` at the first mismatch."""
        manifest.verify(self.folder, self.manifest)
        self._verify = False

    def _rows(self, entry: FileEntry) -> Rows:
        if entry.path not in self._opened:
            self._opened[entry.path] = _map(self._local_path(entry), self.facts)
        return self._opened[entry.path]

    def _local_path(self, entry: FileEntry) -> str:
        """Return the local path of a verified file."""
        path = storage.join(self.folder, entry.path)
        if not storage.is_local(path):
            return _fetch(path, entry, self._cache)
        if self._verify:
            manifest.verify_file(self.folder, entry)
        return path.removeprefix("file://")


def check_tokenizer(shards: Shards, tokenizer: HasHash) -> None:
    """Raise :class:`MismatchError` unless the shards were packed with this tokenizer."""
    if shards.facts.tokenizer_sha256 != tokenizer.sha256:
        raise MismatchError(
            f"{shards.folder}: packed with tokenizer {shards.facts.tokenizer_sha256[:12]}…, but this one is "
            f"{tokenizer.sha256[:12]}…; give the tokenizer they were made with or run pack again"
        )


def default_cache() -> Path:
    """Return the default folder for copies of remote shards."""
    return Path(storage.cache_folder("shards"))


def _facts(folder: str, found: Manifest) -> Facts:
    try:
        return Facts.model_validate(found.facts)
    except ValidationError:
        path = storage.join(folder, manifest.NAME)
        raise ManifestError(f"{path}: its facts are not those of shards; run pack again") from None


def _check_sizes(folder: str, found: Manifest) -> None:
    """Compare the sizes of all files, from one listing of the folder."""
    sizes = {info.path: info.size for info in storage.list_files(storage.absolute(folder))}
    for entry in found.files:
        path = storage.join(storage.absolute(folder).removeprefix("file://"), entry.path)
        if (size := sizes.get(path)) != entry.size:
            state = "missing" if size is None else f"{size} bytes"
            raise ManifestError(
                f"{path}: {state}, but {manifest.NAME} says {entry.size} bytes; restore it or run pack again"
            )


def _fetch(path: str, entry: FileEntry, cache: Path) -> str:
    """Return the cached copy of a remote file; download and verify it if necessary."""
    target = cache / f"{entry.sha256}.arrow"
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            copy = FileEntry(**{**entry.model_dump(), "path": target.name})
            storage.download(path, f"{temporary}/{target.name}")
            manifest.verify_file(temporary, copy)
            Path(temporary, target.name).replace(target)
    return str(target)


def _map(local: str, facts: Facts) -> Rows:
    """Memory-map the rows of a local file."""
    with pa.memory_map(local) as source:
        file = pa.ipc.open_file(source)
        if not file.schema.equals(schema(facts.sequence_length, facts.dtype)):
            raise ManifestError(f"{local}: its columns differ from those in the manifest; run pack again")
        batch = file.get_batch(0)
    tokens = batch.column("tokens").values.to_numpy().reshape(-1, facts.sequence_length + 1)
    spans = batch.column("spans")
    ids, start, length, offset = spans.values.flatten()
    document_id = np.frombuffer(ids.buffers()[1], np.uint8)[: 16 * len(ids)].reshape(-1, 16)
    bounds = spans.offsets.to_numpy().astype(np.int64)
    return Rows(tokens, Spans(bounds, document_id, start.to_numpy(), length.to_numpy(), offset.to_numpy()))


def _join(parts: list[Rows], facts: Facts) -> Rows:
    if not parts:
        numbers = np.zeros(0, np.int32)
        nothing = Spans(np.zeros(1, np.int64), np.zeros((0, 16), np.uint8), numbers, numbers, numbers)
        return Rows(np.zeros((0, facts.sequence_length + 1), facts.dtype), nothing)
    counts = np.concatenate([np.diff(part.spans.bounds) for part in parts])
    spans = Spans(
        np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]),
        np.concatenate([part.spans.document_id for part in parts]),
        np.concatenate([part.spans.start for part in parts]),
        np.concatenate([part.spans.length for part in parts]),
        np.concatenate([part.spans.offset for part in parts]),
    )
    return Rows(np.concatenate([part.tokens for part in parts]), spans)

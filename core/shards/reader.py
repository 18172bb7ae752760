"""Read rows of local and remote shards.

Local files are memory-mapped. Remote files are read in blocks (:mod:`core.shards.blocks`), which are kept in
a cache that is keyed by the files' SHA-256: it can hold several sets of shards and never returns an outdated
file.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from core import manifest, storage
from core.errors import InputError, ManifestError, MismatchError
from core.manifest import FileEntry, Manifest
from core.shards.blocks import DIGEST_BYTES, BlockCache, Int64Array, LocalBytes, RemoteBytes
from core.shards.format import STAGE, Facts, Segments, Spans, SplitName, split_and_source
from core.shards.groups import FileGroup, MappedFiles, RemoteFiles
from core.shards.layout import MappedFile, ShardFile

CACHE_BYTES = 100 << 30
"""Default limit of the cache for blocks of remote shards."""
FILES_AT_ONCE = 16
"""Remote files whose rows are read concurrently."""


class HasHash(Protocol):
    """An object with a SHA-256, such as a tokenizer."""

    @property
    def sha256(self) -> str:
        """Hash of everything that determines token ids."""


class Shards:
    """A published set of shards. Rows are numbered per split and source, across its files in path order."""

    def __init__(self, folder: str, found: Manifest, *, verify: bool, cache: BlockCache) -> None:
        self.folder = folder
        self.manifest = found
        self.facts = _facts(folder, found)
        self.sources: tuple[str, ...] = tuple(
            sorted({source for totals in self.facts.sources.values() for source in totals})
        )
        self.cache = cache
        self._files = _Files(folder, self.facts, cache, verify=verify)
        self._files_at_once = ThreadPoolExecutor(FILES_AT_ONCE, "shard")
        self._groups: dict[tuple[SplitName, str], FileGroup] = {}
        self._entries: dict[tuple[SplitName, str], list[FileEntry]] = {}
        for entry in sorted(found.files, key=lambda entry: entry.path):
            self._entries.setdefault(split_and_source(entry.path), []).append(entry)
        self._bounds = {
            group: np.cumsum([0, *(entry.rows for entry in entries)])
            for group, entries in self._entries.items()
        }
        """First row of each file of a split and source, and the number of rows."""

    @staticmethod
    def open(
        folder: str, verify: bool = True, cache: str | None = None, cache_bytes: int = CACHE_BYTES
    ) -> "Shards":
        """Open a set of shards and compare every file's size with the manifest.

        With ``verify``, a local file's SHA-256 is compared before its first row is read; :meth:`verify`
        compares all files at once. Blocks of remote files are always verified. ``cache`` is the folder for
        them, ``cache_bytes`` its limit. Raises :class:`ManifestError`.
        """
        found = manifest.read(folder, STAGE)
        blocks = BlockCache(Path(cache) if cache else default_cache(), cache_bytes)
        shards = Shards(folder, found, verify=verify, cache=blocks)
        _check_sizes(folder, found)
        return shards

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
        self, split: SplitName, source: str, indices: Int64Array
    ) -> tuple[npt.NDArray[np.unsignedinteger], Spans]:
        """Return tokens, unsigned[n, sequence_length + 1], and spans of the n rows at ``indices``."""
        located = self._locate(split, source, indices)
        return self._group(split, source).read(*located)

    def read_segments(
        self, split: SplitName, source: str, indices: Int64Array
    ) -> tuple[npt.NDArray[np.unsignedinteger], Segments]:
        """Read rows as :meth:`read`, without the ids of their documents."""
        located = self._locate(split, source, indices)
        return self._group(split, source).read_segments(*located)

    def document_ids(self, entry: FileEntry) -> tuple[Int64Array, npt.NDArray[np.uint8]]:
        """Return the bounds and the document ids of all spans of a file, as in :class:`Spans`."""
        return self._files.open(entry).document_ids()

    def all_segments(self, entry: FileEntry) -> Segments:
        """Return the segments of all rows of a file."""
        return self._files.open(entry).all_segments()

    def _group(self, split: SplitName, source: str) -> FileGroup:
        """Return the files of a split and source that exists."""
        if (split, source) not in self._groups:
            # The group must not refer to this object: without a cycle, maps are closed with it at once.
            entries, files = self._entries[split, source], self._files

            def open_file(number: int) -> ShardFile:
                return files.open(entries[number])

            self._groups[split, source] = (
                MappedFiles(len(entries), open_file, self.facts)
                if storage.is_local(self.folder)
                else RemoteFiles(open_file, self.facts, self._files_at_once)
            )
        return self._groups[split, source]

    def _locate(self, split: SplitName, source: str, indices: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Return the number of the file of each row, and the row's number in that file."""
        indices = np.asarray(indices, np.int64)
        bounds = self._bounds.get((split, source), np.zeros(1, np.int64))
        lowest, highest = (int(indices.min()), int(indices.max())) if len(indices) else (0, -1)
        if (split, source) not in self._bounds or lowest < 0 or highest >= bounds[-1]:
            raise InputError(
                f"{self.folder}: rows {lowest} to {highest} of {split}/{source}, which has {bounds[-1]}; ask "
                "for rows within it"
            )
        files = bounds.searchsorted(indices, "right") - 1
        return files, indices - bounds[files]

    def verify(self) -> None:
        """Compare the SHA-256 of every file. Raises :class:`ManifestError` at the first mismatch."""
        manifest.verify(self.folder, self.manifest)
        self._files.verify = False


class _Files:
    """The files of a set of shards, opened on first use."""

    def __init__(self, folder: str, facts: Facts, cache: BlockCache, *, verify: bool) -> None:
        self.verify = verify
        """Compare the SHA-256 of local files when they are opened."""
        self._folder, self._facts, self._cache = folder, facts, cache
        self._opened: dict[str, ShardFile] = {}

    def open(self, entry: FileEntry) -> ShardFile:
        """Return a file, the same object every time."""
        if entry.path not in self._opened:
            return self._opened.setdefault(entry.path, self._open(entry))
        return self._opened[entry.path]

    def _open(self, entry: FileEntry) -> ShardFile:
        path, facts = _path(self._folder, entry), self._facts
        if storage.is_local(path):
            if self.verify:
                manifest.verify_file(self._folder, entry)
            return MappedFile(path, LocalBytes(path.removeprefix("file://")), entry.rows, facts)
        if not facts.blocks:
            raise ManifestError(
                f"{self._folder}: {manifest.NAME} has no digests of blocks, by which remote shards are read; "
                "run pack again, or copy them to local disk"
            )
        digests = facts.blocks[entry.path]
        data = RemoteBytes(path, entry.size, entry.sha256, digests, facts.block_bytes, self._cache)
        return ShardFile(path, data, entry.rows, facts)


def check_tokenizer(shards: Shards, tokenizer: HasHash) -> None:
    """Raise :class:`MismatchError` unless the shards were packed with this tokenizer."""
    if shards.facts.tokenizer_sha256 != tokenizer.sha256:
        raise MismatchError(
            f"{shards.folder}: packed with tokenizer {shards.facts.tokenizer_sha256[:12]}…, but this one is "
            f"{tokenizer.sha256[:12]}…; give the tokenizer they were made with or run pack again"
        )


def default_cache() -> Path:
    """Return the default folder for blocks of remote shards."""
    return Path(storage.cache_folder("shards"))


def _facts(folder: str, found: Manifest) -> Facts:
    try:
        facts = Facts.model_validate(found.facts)
        digits = {entry.path: 2 * DIGEST_BYTES * -(-entry.size // facts.block_bytes) for entry in found.files}
        if not facts.blocks or digits == {path: len(each) for path, each in facts.blocks.items()}:
            return facts
    except ValidationError:
        pass
    path = storage.join(folder, manifest.NAME)
    raise ManifestError(f"{path}: its facts are not those of shards; run pack again") from None


def _path(folder: str, entry: FileEntry) -> str:
    """Return the path of a file. The names of folders contain percent signs, which a URL must escape."""
    return storage.join(folder, quote(entry.path) if storage.is_web(folder) else entry.path)


def _check_sizes(folder: str, found: Manifest) -> None:
    """Compare the sizes of all files, from one listing of the folder; web servers have none."""
    folder = storage.absolute(folder)
    paths = [_path(folder.removeprefix("file://"), entry) for entry in found.files]
    if storage.is_web(folder):
        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            sizes = dict(zip(paths, pool.map(lambda path: storage.file_info(path).size, paths), strict=True))
    else:
        sizes = {info.path: info.size for info in storage.list_files(folder)}
    for entry, path in zip(found.files, paths, strict=True):
        if (size := sizes.get(path)) != entry.size:
            state = "missing" if size is None else f"{size} bytes"
            raise ManifestError(
                f"{path}: {state}, but {manifest.NAME} says {entry.size} bytes; restore it or run pack again"
            )

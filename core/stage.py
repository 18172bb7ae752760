"""A run of a stage: how it claims its output folder, and when it is done.

A stage describes its run as a :class:`Stage`, claims the output folder with :meth:`Stage.claim`, writes its
files and calls :meth:`Stage.publish` last. Rerunning a finished stage is a no-op; rerunning an interrupted
one resumes it. A folder with any other content is refused unless ``output.overwrite`` is set, and so is one
that another process has claimed (:mod:`core.storage.locks`).
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from core import manifest, storage
from core.config import Config, require
from core.errors import MissingFileError, OutputError
from core.manifest import NAME, STARTED, FileEntry, Manifest
from core.storage import locks, overlap
from core.storage.removal import DONE, remove_marked

REMEDY = "choose another output.path or replace it with --set output.overwrite=true"


@dataclass(frozen=True, slots=True)
class Stage:
    """One run of a stage: its output folder, its configuration and inputs, and how to claim the folder."""

    name: str
    folder: str
    fingerprint: str = ""
    """Hash of everything the output depends on, from :func:`core.manifest.fingerprint`."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The resolved configuration, recorded in the manifest."""
    inputs: Sequence[str] = ()
    """The inputs, recorded in the manifest."""
    skipped_inputs: Mapping[str, str] = field(default_factory=dict)
    """The cause for each path among the inputs that is not read, recorded in the manifest."""
    owned: Sequence[str] = ()
    """Entries of a shared folder that belong to this stage; empty if the whole folder does."""
    reads: Sequence[str] = ()
    """Folders, files and globs that are listed for inputs; they may not include the output."""
    attempt: str = ""
    """Hash by which an interrupted attempt is resumed, if parts of what the output depends on may change
    then; by default the fingerprint."""
    overwrite: bool = False
    remedy: str = REMEDY
    """How to replace the folder's content on this command line; ends the error message."""
    done_message: str | None = None
    """Printed if the output exists already. Default: ``NAME: already done``. Empty: print nothing."""

    def finished(self) -> Manifest | None:
        """Print ``done_message`` and return the manifest if the output exists already; else return None.

        Raises :class:`OutputError` if the folder holds anything but this stage under this fingerprint, unless
        ``overwrite`` is set, and if the output and what is read overlap.
        """
        _refuse_file(self.folder)
        self._refuse_overlap()
        found = self.published()
        if found and found.fingerprint == self.fingerprint:
            message = f"{self.name}: already done" if self.done_message is None else self.done_message
            if message:
                print(message)
            return found
        if not self.overwrite and not self._interrupted(found) and _holds_anything(self.folder):
            raise self._refusal(found)
        return None

    def check(self) -> None:
        """Raise :class:`OutputError` if :meth:`finished` would, whatever the inputs are; for dry runs.

        The fingerprint is not used. Remote folders are not accessed.
        """
        self._refuse_overlap()
        if not storage.is_local(self.folder):
            return
        _refuse_file(self.folder)
        if self.overwrite or not _holds_anything(self.folder):
            return
        if found := self.published():
            refused = manifest.canonical(found.config) != manifest.canonical(self.config)
        else:
            refused = not storage.exists(self._started)
        if refused:
            raise self._refusal(found)

    @contextmanager
    def claim(self) -> Iterator[Manifest | None]:
        """Hold the folder during the block, against all other processes, and :meth:`begin`.

        Yields and raises as :meth:`lock`.
        """
        with self.lock() as done:
            yield done or self.begin()

    @contextmanager
    def lock(self) -> Iterator[Manifest | None]:
        """Hold the folder during the block, with its content unchanged until the caller calls :meth:`begin`.

        Yields None, or the manifest if the output exists already, which needs no lock. Raises
        :class:`OutputError` as :meth:`finished`, and if another process holds the folder. One that was killed
        is replaced, after up to a minute if it ran on another machine.
        """
        if done := self.finished():
            yield done
            return
        with locks.held(self.folder, self.name):
            yield self.finished()  # another process may have finished it meanwhile

    def begin(self) -> Manifest | None:
        """Mark a locked folder as this attempt's; return the manifest instead if the output exists already.

        A stage with ``owned`` entries keeps what an interrupted attempt left in them; a stage without starts
        from an empty folder. Raises :class:`OutputError` as :meth:`finished` does.
        """
        if done := self.finished():
            return done
        resumed = self.owned and not self.published() and self._read_mark() == self._mark
        if not resumed:
            self.clear()
        locks.check(self.folder)
        for entry in self.owned or ("",):
            storage.abort_uploads(storage.join(self.folder, entry).rstrip("/"))
        storage.write_atomic(self._started, self._mark)
        return None

    def clear(self) -> None:
        """Remove the stage's entries and manifest from the folder, for an attempt that :meth:`begin` follows.

        The order is such that after a kill at any moment nothing that is left can be taken for a finished
        output, or for an attempt to resume. Raises :class:`OutputError` if something cannot be removed.
        """
        locks.check(self.folder)
        storage.write_atomic(self._started, self._clearing_mark)
        storage.remove(storage.join(self.folder, NAME))
        entries = self._entries()
        remove_marked(entries, partial(locks.check, self.folder))
        if left := self._entries():  # object stores can fail to delete some of many
            raise OutputError(f"{left[0]}: could not be removed completely; run this again, or remove it")

    def remove(self, entry: str) -> None:
        """Remove an entry of the claimed folder, which the next attempt makes again."""
        locks.check(self.folder)
        if storage.exists(path := storage.join(self.folder, entry)):
            remove_marked([path])

    def reopen(self) -> None:
        """Make the output an interrupted attempt, which :meth:`begin` then continues.

        An output with both marks, left by a kill in between, is a finished one.
        """
        locks.check(self.folder)
        storage.write_atomic(self._started, self._mark)
        storage.remove(storage.join(self.folder, NAME))

    def write(self, path: str, data: bytes, rows: int = 0) -> FileEntry:
        """Write a file at ``path``, relative to the folder, and return its entry."""
        storage.write_atomic(storage.join(self.folder, path), data)
        return FileEntry(path=path, size=len(data), rows=rows, sha256=hashlib.sha256(data).hexdigest())

    def publish(
        self,
        counts: Mapping[str, int],
        files: Sequence[FileEntry],
        facts: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """Write and return the manifest, which makes the output exist.

        Raises :class:`OutputError` if another process has taken over the folder.
        """
        made = Manifest(
            stage=self.name,
            fingerprint=self.fingerprint,
            config=dict(self.config),
            inputs=list(self.inputs),
            skipped_inputs=dict(self.skipped_inputs),
            counts=dict(counts),
            files=list(files),
            facts=dict(facts or {}),
        )
        manifest.publish(self.folder, made)
        return made

    @property
    def _started(self) -> str:
        return storage.join(self.folder, STARTED)

    @property
    def _mark(self) -> bytes:
        return manifest.canonical(self._mark_content)

    @property
    def _clearing_mark(self) -> bytes:
        """The mark while an earlier output is removed."""
        return manifest.canonical({**self._mark_content, "clearing": True})

    @property
    def _mark_content(self) -> dict[str, str]:
        return {"stage": self.name, "fingerprint": self.attempt or self.fingerprint}

    def published(self) -> Manifest | None:
        """Return the manifest in the folder, with any fingerprint."""
        try:
            return manifest.parse(self.folder, self.name)
        except MissingFileError:
            return None

    def _interrupted(self, published: Manifest | None) -> bool:
        """True if the folder holds an unfinished attempt of this very run."""
        return not published and self._read_mark() in (self._mark, self._clearing_mark)

    def _read_mark(self) -> bytes:
        return storage.read_bytes(self._started) if storage.exists(self._started) else b""

    def _entries(self) -> list[str]:
        """Return the paths of what belongs to the stage in its folder, apart from its marks there."""
        names = (name for name in locks.contents(self.folder) if name not in (STARTED, NAME))
        owned = (name for name in names if not self.owned or name.removesuffix(DONE) in self.owned)
        return [storage.join(self.folder, name) for name in owned]

    def _refuse_overlap(self) -> None:
        """Raise :class:`OutputError` if the output would replace an input, or be one in the next run."""
        inputs = [path for path in self.inputs if path.startswith("/") or "://" in path]  # others are hashes
        if replaced := overlap.find_replaced([*self.reads, *inputs], self.folder, self.owned):
            raise OutputError(
                f"{replaced}: is read, but the output in {self.folder} would replace it; name another folder"
            )
        files = [NAME, *(f"{entry}/part-00000.parquet" for entry in self.owned)]
        if source := overlap.find_including(self.reads, self.folder, files):
            raise OutputError(
                f"{self.folder}: lies in what is read ({source}), so the next run would read the output; "
                "name another folder"
            )

    def _refusal(self, published: Manifest | None) -> OutputError:
        return OutputError(
            f"{self.folder}: holds {self._content(published)}, which would be lost; {self.remedy}"
        )

    def _content(self, published: Manifest | None) -> str:
        if published:
            return f"a finished {self.name} of another configuration or input"
        if storage.exists(self._started):
            return f"an unfinished {self.name} of another configuration or input"
        return "files that are not Gristmill's"


def check_output(config: Config) -> None:
    """Raise :class:`ConfigError` if ``output.path`` is empty, :class:`OutputError` if it is a local file.

    Also refuses web servers and unknown kinds of storage. Accesses no remote files.
    """
    require(config, "output.path")
    path = config.output.path
    _refuse_file(path, "output.path = ")
    if storage.is_web(path):
        raise OutputError(
            f"output.path = {path}: web servers are only read; use a local path, s3:// or hdfs://"
        )
    if not storage.is_local(path) and not path.startswith(("s3://", "hdfs://")):
        storage.filesystem(path)


def read_paths(config: Config) -> list[str]:
    """Return the paths and globs that a job on documents lists for its inputs, a finished run apart."""
    named = (config.input.index.path, config.dedup.index, *config.input.paths, *config.decontamination.paths)
    return [path for path in named if path]


def _refuse_file(folder: str, key: str = "") -> None:
    """Raise :class:`OutputError` if a local path, or a folder that it is in, is a file."""
    if not storage.is_local(folder):
        return
    path = Path(folder.removeprefix("file://"))
    for each in (path, *path.parents):
        if each.is_file():
            found = "is a file" if each == path else f"{each} is a file"
            raise OutputError(f"{key}{folder}: {found}; name a folder")


def _holds_anything(folder: str) -> bool:
    """True if a folder exists and is not empty. Locks do not count."""
    return bool(locks.contents(folder))

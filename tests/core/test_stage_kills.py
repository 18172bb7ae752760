"""A stage is killed before each single change of the disk; a rerun gives the undisturbed result."""

import os
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from core import manifest, storage
from core.errors import ManifestError, OutputError
from core.manifest import Manifest
from core.stage import Stage
from core.storage import locks

CHANGES = ("link", "mkdir", "remove", "rename", "replace", "rmdir", "unlink")
KILLED = 9
FILES = 3

# Python 3.12 warns about forks in a process with threads. The children only use the disk.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def stage(folder: Path, config: str, *, shared: bool, overwrite: bool = True) -> Stage:
    owned = ("documents", "analysis") if shared else ()
    return Stage("clean", str(folder), config, owned=owned, overwrite=overwrite, done_message="")


def work(claimed: Stage) -> Manifest:
    """Write an intermediate table unless it is finished, then from it the published one, as clean does."""
    config, records = claimed.fingerprint, f"{claimed.folder}/analysis/records"
    with claimed.claim() as done:
        if done:
            return done
        if not storage.exists(f"{records}.done"):
            storage.remove(records)
            for number in range(FILES):
                storage.write_atomic(f"{records}/part-{number}-{config}", f"{config} {number}\n".encode())
            locks.check(records)
            storage.write_atomic(f"{records}.done", config.encode())
        storage.remove(f"{claimed.folder}/documents")
        parts = sorted(storage.list_files(records), key=lambda file: file.path)
        text = b"".join(storage.read_bytes(file.path) for file in parts)
        files = [claimed.write(f"documents/part-{number}-{config}", text, FILES) for number in range(FILES)]
        storage.write_atomic(f"{claimed.folder}/documents.done", config.encode())
        return claimed.publish({"kept": len(parts)}, files)


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files by path, without the hidden ones of atomic writes that were cut short."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def killed(change: int, function: Callable[[], object]) -> bool:
    """Call ``function`` in a process that is killed before its ``change``-th change of the disk.

    False if it makes fewer.
    """
    child = os.fork()
    if not child:
        _run_child(change, function)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, KILLED)
    return status == KILLED


def _run_child(change: int, function: Callable[[], object]) -> None:
    left = change

    def counted(original: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if not left:
                os._exit(KILLED)
            return original(*arguments, **options)

        return run

    try:
        for name in CHANGES:
            setattr(os, name, counted(getattr(os, name)))
        function()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def fresh(folder: Path, *, shared: bool) -> None:
    """Nothing is there."""


def finished(folder: Path, *, shared: bool) -> None:
    """Another configuration is finished, with more in its folders."""
    work(stage(folder, "old", shared=shared))
    (folder / "documents" / "part-9-old").write_text("left\n")
    (folder / "analysis" / "copies.done").write_text("left")


def unfinished(folder: Path, *, shared: bool) -> None:
    """Another configuration was cut short after its first table."""
    work(stage(folder, "old", shared=shared))
    (folder / manifest.NAME).unlink()
    mark = manifest.canonical({"stage": "clean", "fingerprint": "old"})
    (folder / manifest.STARTED).write_bytes(mark)


def foreign(folder: Path, *, shared: bool) -> None:
    """Other files are there, which output.overwrite gives up."""
    (folder / "documents").mkdir(parents=True)
    (folder / "documents" / "thesis.txt").write_text("years of work")


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("before", [fresh, finished, unfinished, foreign])
def test_a_kill_at_any_moment_leaves_no_mixture(
    tmp_path: Path, before: Callable[..., None], shared: bool
) -> None:
    undisturbed = {config: tmp_path / config for config in ("old", "new")}
    for config, folder in undisturbed.items():
        work(stage(folder, config, shared=shared))
    expected = {config: contents(folder) for config, folder in undisturbed.items()}
    change, is_killed = 0, True
    while is_killed:
        change += 1
        folder, again = tmp_path / f"cut-{change}", tmp_path / f"old-{change}"
        before(folder, shared=shared)
        is_killed = killed(change, lambda folder=folder: work(stage(folder, "new", shared=shared)))
        if is_killed and folder.exists():
            shutil.copytree(folder, again)
            _check_old(again, expected["old"], shared=shared)
        is_published = _check_reader(folder, expected)
        work(stage(folder, "new", shared=shared))
        # A mark and a lock beside a manifest are left by a kill right after it was written.
        left = contents(folder)
        left.pop(manifest.STARTED, None)
        assert left == expected["new"], f"killed before change {change}"
        assert is_published or not [path for path in folder.iterdir() if "lock" in path.name]
    assert change > 20


def _check_reader(folder: Path, expected: dict[str, dict[str, bytes]]) -> bool:
    """Check that a folder with a manifest is complete; return True if it is the new output."""
    try:
        found = manifest.read(str(folder), "clean")
    except ManifestError:
        return False
    manifest.verify(str(folder), found)
    text = (folder / found.files[0].path).read_bytes()
    assert text == expected[found.fingerprint][found.files[0].path]
    return found.fingerprint == "new"


def _check_old(folder: Path, expected: dict[str, bytes], *, shared: bool) -> None:
    """The other configuration, run again, is either refused or gives its own undisturbed result."""
    try:
        made = work(stage(folder, "old", shared=shared, overwrite=False))
    except OutputError:
        return
    manifest.verify(str(folder), made)
    assert {entry.path: entry.sha256 for entry in made.files} == {
        path: manifest.hashlib.sha256(data).hexdigest()
        for path, data in expected.items()
        if path.startswith("documents/")
    }


def test_an_output_that_cannot_be_removed_completely_is_not_built_upon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(tmp_path / "out", shared=True)
    remove = storage.remove

    def forget(path: str) -> None:
        """Remove all but one file, as a bulk request to an object store may."""
        if path.endswith("/documents"):
            path += "/part-0-old"
        remove(path)

    monkeypatch.setattr(storage, "remove", forget)
    with pytest.raises(OutputError, match=r"^\S+/out/documents: could not be removed completely; run this"):
        work(stage(tmp_path / "out", "new", shared=True))
    assert not (tmp_path / "out" / manifest.NAME).exists()
    monkeypatch.undo()
    work(stage(tmp_path / "out", "new", shared=True))
    assert sorted(path.name for path in (tmp_path / "out" / "documents").iterdir()) == [
        f"part-{number}-new" for number in range(FILES)
    ]

import hashlib

import pytest

from core import manifest
from core.errors import ManifestError, OutputError
from core.manifest import FileEntry, Manifest


def _finish(folder, fingerprint, data=b"abc"):
    (folder / "data").write_bytes(data)
    entry = FileEntry(path="data", size=len(data), rows=1, sha256=hashlib.sha256(data).hexdigest())
    made = Manifest(
        stage="pack", fingerprint=fingerprint, config={}, inputs=[], counts={"rows": 1}, files=[entry]
    )
    manifest.publish(str(folder), made)
    return made


def test_a_finished_stage_is_a_no_op(tmp_path):
    folder = tmp_path / "out"
    assert manifest.begin(str(folder), "pack", "f1") is None
    made = _finish(folder, "f1")
    assert manifest.begin(str(folder), "pack", "f1") == made
    assert manifest.read(str(folder), "pack") == made
    assert not (folder / manifest.STARTED).exists()


def test_an_attempt_cut_short_is_cleared_and_begun_again(tmp_path):
    folder = tmp_path / "out"
    manifest.begin(str(folder), "pack", "f1")
    (folder / "half").write_text("x")
    with pytest.raises(ManifestError, match="was not run or was cut short"):
        manifest.read(str(folder), "pack")
    assert manifest.begin(str(folder), "pack", "f1") is None
    assert not (folder / "half").exists()


def test_owned_entries_survive_a_resume_but_not_an_overwrite(tmp_path):
    folder = tmp_path / "out"
    manifest.begin(str(folder), "pack", "f1", owned=["mine"])
    (folder / "mine").write_text("x")
    (folder / "other").write_text("y")
    assert manifest.begin(str(folder), "pack", "f1", owned=["mine"]) is None
    assert (folder / "mine").exists()
    assert manifest.begin(str(folder), "pack", "f2", owned=["mine"], overwrite=True) is None
    assert not (folder / "mine").exists()
    assert (folder / "other").exists()


@pytest.mark.parametrize("state", ["finished", "unfinished", "foreign"])
def test_another_run_is_refused_and_left_as_it_is(tmp_path, state):
    folder = tmp_path / "out"
    if state == "foreign":
        folder.mkdir()
        (folder / "thesis.txt").write_text("years of work")
    else:
        manifest.begin(str(folder), "pack", "f1")
    if state == "finished":
        _finish(folder, "f1")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(OutputError, match=r"^[^\n]*output.overwrite=true$"):
        manifest.begin(str(folder), "pack", "f2")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert manifest.begin(str(folder), "pack", "f2", overwrite=True) is None
    assert [path.name for path in folder.iterdir()] == [manifest.STARTED]


def test_a_changed_byte_is_named(tmp_path):
    manifest.begin(str(tmp_path / "out"), "pack", "f1")
    made = _finish(tmp_path / "out", "f1")
    manifest.verify(str(tmp_path / "out"), made)
    (tmp_path / "out" / "data").write_bytes(b"abd")
    with pytest.raises(ManifestError, match=r"out/data: .*it was altered"):
        manifest.verify(str(tmp_path / "out"), made)
    (tmp_path / "out" / "data").unlink()
    with pytest.raises(ManifestError, match=r"out/data: .*missing"):
        manifest.verify(str(tmp_path / "out"), made)


def test_foreign_stage_and_version_are_refused(tmp_path):
    manifest.begin(str(tmp_path), "pack", "f1", overwrite=True)
    made = _finish(tmp_path, "f1")
    with pytest.raises(ManifestError, match="of stage pack, but clean is needed"):
        manifest.read(str(tmp_path), "clean")
    manifest.publish(str(tmp_path), made.model_copy(update={"schema_version": 99}))
    with pytest.raises(ManifestError, match="schema version 99"):
        manifest.read(str(tmp_path), "pack")
    (tmp_path / manifest.NAME).write_text("{}")
    with pytest.raises(ManifestError, match="not a Gristmill manifest"):
        manifest.read(str(tmp_path), "pack")


def test_the_hash_of_an_output_does_not_know_where_it_lies(tmp_path):
    manifest.begin(str(tmp_path), "pack", "f1", overwrite=True)
    made = _finish(tmp_path, "f1")
    moved = made.model_copy(update={"inputs": ["s3://elsewhere"], "config": {"output": "x"}})
    assert moved.sha256() == made.sha256()
    assert made.model_copy(update={"counts": {"rows": 2}}).sha256() != made.sha256()

import time
from pathlib import Path
from typing import Any

import pytest

from core import manifest, storage
from core.config import load
from core.errors import GristmillError, ManifestError, OutputError, UnavailableError
from core.manifest import Manifest
from core.stage import Stage, check_output
from core.storage import locks, retries
from tests.core.race import dead_holder


def _stage(folder: Path, fingerprint: str = "f1", **options: object) -> Stage:
    return Stage("pack", str(folder), fingerprint, **options)  # type: ignore[arg-type]  # tests only


def _finish(stage: Stage, data: bytes = b"abc") -> Manifest:
    return stage.publish({"rows": 1}, [stage.write("data", data, rows=1)])


def test_finished_stage_is_a_no_op(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "out"
    stage = _stage(folder)
    assert stage.begin() is None
    made = _finish(stage)
    assert capsys.readouterr().out == ""
    assert stage.begin() == made
    assert capsys.readouterr().out == "pack: already done\n"
    assert _stage(folder, done_message="").finished() == made
    assert _stage(folder, done_message="nothing to do").finished() == made
    assert capsys.readouterr().out == "nothing to do\n"
    assert manifest.read(str(folder), "pack") == made
    assert not (folder / manifest.STARTED).exists()


def test_manifest_records_the_run(tmp_path: Path) -> None:
    config, inputs = {"pack": {"a": 1}}, ["in"]
    stage = Stage("pack", str(tmp_path / "out"), "f1", config, inputs)
    stage.begin()
    made = stage.publish({"rows": 1}, [stage.write("data", b"abc", rows=1)], {"sha256": "x"})
    assert (made.stage, made.fingerprint, made.config, made.inputs) == ("pack", "f1", config, inputs)
    assert made.counts == {"rows": 1}
    assert made.facts == {"sha256": "x"}
    assert made.files == [manifest.file_entry(stage.folder, "data", rows=1)]


def test_interrupted_attempt_is_cleared_and_restarted(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    _stage(folder).begin()
    (folder / "half").write_text("x")
    with pytest.raises(ManifestError, match="was not run or was cut short"):
        manifest.read(str(folder), "pack")
    assert _stage(folder).finished() is None
    assert (folder / "half").exists()
    assert _stage(folder).begin() is None
    assert not (folder / "half").exists()


def test_owned_entries_survive_a_resume_but_not_an_overwrite(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    _stage(folder, owned=["mine"]).begin()
    (folder / "mine").write_text("x")
    (folder / "other").write_text("y")
    assert _stage(folder, owned=["mine"]).begin() is None
    assert (folder / "mine").exists()
    assert _stage(folder, "f2", owned=["mine"], overwrite=True).begin() is None
    assert not (folder / "mine").exists()
    assert (folder / "other").exists()


def test_attempt_may_be_resumed_under_another_fingerprint(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    _stage(folder, owned=["mine"], attempt="a1").begin()
    (folder / "mine").write_text("x")
    with pytest.raises(OutputError, match="an unfinished pack of another configuration"):
        _stage(folder, owned=["mine"], attempt="a2").begin()
    changed = _stage(folder, "f2", owned=["mine"], attempt="a1")
    assert changed.begin() is None
    assert (folder / "mine").exists()
    made = _finish(changed)
    assert changed.begin() == made and made.fingerprint == "f2"
    with pytest.raises(OutputError, match="a finished pack of another configuration"):
        _stage(folder, owned=["mine"], attempt="a1").begin()


def test_files_are_refused_as_folders(tmp_path: Path) -> None:
    file = tmp_path / "a.warc.gz"
    file.write_text("input")
    for refuse in (_stage(file).finished, _stage(file, overwrite=True).begin, _stage(file).check):
        with pytest.raises(OutputError, match=r"^\S*a\.warc\.gz: is a file; name a folder$"):
            refuse()
    with pytest.raises(OutputError, match=rf"a\.warc\.gz/out: {file} is a file; name a folder$"):
        _stage(file / "out").check()
    with pytest.raises(OutputError, match=r"^output\.path = \S*a\.warc\.gz: is a file; name a folder$"):
        check_output(load(None, [f"output.path={file}"]))
    assert file.read_text() == "input"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("foo://b/x", "Protocol not known: foo; use a local path"),
        ("https://h/x", "web servers are only read; use"),
    ],
)
def test_outputs_that_are_never_written_are_refused_at_once(path: str, problem: str) -> None:
    with pytest.raises(GristmillError, match=f"{path}: {problem}"):
        check_output(load(None, [f"output.path={path}"]))


def test_folders_are_checked_without_inputs(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    _stage(folder).check()
    _stage(folder, config={"a": 1}).begin()
    _stage(folder, "f2", config={"a": 2}).check()
    _finish(_stage(folder, config={"a": 1}))
    _stage(folder, "f2", config={"a": 1}).check()
    _stage(folder, config={"a": 2}, overwrite=True).check()
    with pytest.raises(OutputError, match="a finished pack of another configuration"):
        _stage(folder, config={"a": 2}).check()
    with pytest.raises(OutputError, match="holds files that are not Gristmill's"):
        _stage(tmp_path).check()  # it holds the folder "out"
    Stage("pack", "s3://absent/out").check()


def test_empty_folder_may_be_claimed(tmp_path: Path) -> None:
    for folder in (tmp_path / "out", f"file://{tmp_path}/other"):
        Path(str(folder).removeprefix("file://")).mkdir()
        stage = Stage("pack", str(folder))
        stage.check()
        assert stage.begin() is None


@pytest.mark.parametrize("state", ["finished", "unfinished", "foreign"])
def test_another_run_is_refused_and_left_unchanged(tmp_path: Path, state: str) -> None:
    folder = tmp_path / "out"
    if state == "foreign":
        folder.mkdir()
        (folder / "thesis.txt").write_text("years of work")
    else:
        _stage(folder).begin()
    if state == "finished":
        _finish(_stage(folder))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(OutputError, match=r"^[^\n]*output.overwrite=true$"):
        _stage(folder, "f2").finished()
    with pytest.raises(OutputError, match=r"^[^\n]*output.overwrite=true$"):
        _stage(folder, "f2").begin()
    assert _stage(folder, "f2", overwrite=True).finished() is None
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert _stage(folder, "f2", overwrite=True).begin() is None
    assert [path.name for path in folder.iterdir()] == [manifest.STARTED]


def test_error_names_the_altered_file(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    stage = _stage(folder)
    stage.begin()
    made = _finish(stage)
    manifest.verify(str(folder), made)
    (folder / "data").write_bytes(b"abd")
    with pytest.raises(ManifestError, match=r"out/data: .*it was altered"):
        manifest.verify(str(folder), made)
    (folder / "data").unlink()
    with pytest.raises(ManifestError, match=r"out/data: .*missing"):
        manifest.verify(str(folder), made)


def test_other_stages_and_versions_are_rejected(tmp_path: Path) -> None:
    stage = _stage(tmp_path, overwrite=True)
    stage.begin()
    made = _finish(stage)
    with pytest.raises(ManifestError, match="of stage pack, but clean is needed"):
        manifest.read(str(tmp_path), "clean")
    manifest.publish(str(tmp_path), made.model_copy(update={"schema_version": 99}))
    with pytest.raises(ManifestError, match="schema version 99"):
        manifest.read(str(tmp_path), "pack")
    (tmp_path / manifest.NAME).write_text("{}")
    with pytest.raises(ManifestError, match="not a Gristmill manifest"):
        manifest.read(str(tmp_path), "pack")


def test_hash_of_an_output_is_independent_of_its_location(tmp_path: Path) -> None:
    stage = _stage(tmp_path, overwrite=True)
    stage.begin()
    made = _finish(stage)
    moved = made.model_copy(update={"inputs": ["s3://elsewhere"], "config": {"output": "x"}})
    assert moved.sha256() == made.sha256()
    assert made.model_copy(update={"counts": {"rows": 2}}).sha256() != made.sha256()


@pytest.mark.parametrize(
    ("reads", "problem"),
    [
        ("{out}", "{out}: is read, but the output in {out} would replace it"),
        ("{out}/data/a.jsonl", "{out}/data/a.jsonl: is read, but the output in {out} would replace it"),
        ("{out}/../", r"{out}: lies in what is read \({out}/\.\./\)"),
        ("{link}/data", "{link}/data: is read, but the output in {out} would replace it"),
    ],
)
def test_inputs_are_not_replaced(tmp_path: Path, reads: str, problem: str) -> None:
    folder, link = tmp_path / "run" / "out", tmp_path / "link"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "a.jsonl").write_text("years of work")
    link.symlink_to(folder)
    named = {"out": str(folder), "link": str(link)}
    stages = [_stage(folder, overwrite=True, reads=[reads.format(**named)])]
    if "replace" in problem:
        stages.append(_stage(folder, overwrite=True, inputs=[reads.format(**named)]))
    for refuse in [each for stage in stages for each in (stage.check, stage.finished, stage.begin)]:
        with pytest.raises(OutputError, match=rf"^{problem.format(**named)}[^\n]*; name another folder$"):
            refuse()
    assert (folder / "data" / "a.jsonl").read_text() == "years of work"


def test_hashes_among_the_inputs_are_no_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Stage("pack", ".", inputs=["0123abcd"], overwrite=True).finished() is None


def test_message_names_all_stages_that_would_do(tmp_path: Path) -> None:
    missing = r"^\S+: has no manifest\.json: "
    with pytest.raises(ManifestError, match=f"{missing}clean was not run or was cut short; run it"):
        manifest.read(str(tmp_path), "clean")
    with pytest.raises(ManifestError, match=f"{missing}neither clean nor dedup was run, or it was cut short"):
        manifest.read(str(tmp_path), "clean", "dedup")


def test_claim_holds_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with _stage(folder).claim() as done:
        assert done is None
        assert sorted(path.name for path in folder.iterdir()) == [".lock-000001", manifest.STARTED]
        with pytest.raises(OutputError, match="pack is running there"), _stage(folder).claim():
            pass
        made = _finish(_stage(folder))
    assert sorted(path.name for path in folder.iterdir()) == ["data", manifest.NAME]
    with _stage(folder).claim() as done:
        assert done == made
        assert not list(folder.glob(".lock*"))  # nothing is written


@pytest.mark.parametrize("owned", [(), ("data",)])
def test_lock_is_no_content_and_lasts_while_the_folder_is_emptied(
    tmp_path: Path, owned: tuple[str, ...]
) -> None:
    _finish(_stage(tmp_path, owned=owned))
    with _stage(tmp_path, "f2", owned=owned, overwrite=True).claim():
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock-000001", manifest.STARTED]
        locks.check(str(tmp_path))
    (tmp_path / manifest.STARTED).unlink()
    name, data = dead_holder()
    (tmp_path / name).write_bytes(data)
    _stage(tmp_path, config={"a": 1}).check()
    with _stage(tmp_path, "f3", owned=owned).claim() as done:
        assert done is None


def test_lock_leaves_the_content_until_begin(tmp_path: Path) -> None:
    _finish(_stage(tmp_path))
    other = _stage(tmp_path, "f2", overwrite=True)
    with pytest.raises(ValueError, match="computation"), other.lock():
        raise ValueError("computation")
    assert manifest.read(str(tmp_path), "pack").fingerprint == "f1"
    with other.lock() as done:
        assert done is None
        other.begin()
        assert not (tmp_path / "data").exists()


def test_stages_in_folders_of_their_own_run_together(tmp_path: Path) -> None:
    with _stage(tmp_path, owned=["mine"]).claim(), _stage(tmp_path / "shards").claim() as done:
        assert done is None
        _finish(_stage(tmp_path / "shards"))
    assert not list(tmp_path.rglob(".lock*"))


def test_what_another_driver_finished_meanwhile_is_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    acquire = locks._acquire

    def late(*arguments: Any) -> locks.FolderLock:
        _finish(_stage(tmp_path))
        return acquire(*arguments)

    monkeypatch.setattr(locks, "_acquire", late)
    with _stage(tmp_path).claim() as done:
        assert done and done.files[0].path == "data"
    assert capsys.readouterr().out == "pack: already done\n"


def test_a_lock_lost_during_publication_keeps_the_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = storage.write_atomic

    def lose(path: str, data: bytes) -> None:
        write(path, data)
        (tmp_path / ".lock-000001").unlink()

    stage = _stage(tmp_path)
    with stage.claim():
        monkeypatch.setattr(storage, "write_atomic", lose)
        with pytest.raises(OutputError, match="its lock was removed; pack stops here"):
            stage.publish({}, [])
    assert (tmp_path / manifest.STARTED).exists()


def test_a_manifest_is_written_again_after_a_wait_for_the_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = storage.write_atomic, []

    def fail_once(path: str, data: bytes) -> None:
        calls.append(path)
        assert retries._end.get() <= time.monotonic() + locks.WRITE_SECONDS
        if len(calls) == 1:
            raise UnavailableError(path)
        write(path, data)

    stage = _stage(tmp_path)
    stage.begin()
    monkeypatch.setattr(storage, "write_atomic", fail_once)
    assert stage.publish({}, []) == manifest.read(str(tmp_path), "pack")
    assert len(calls) == 2


def test_a_lock_lost_during_removal_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).touch()
    remove = storage.remove

    def lose(path: str) -> None:
        remove(path)
        if path.endswith(("/a", "/b")):
            (tmp_path / ".lock-000001").unlink()

    stage = _stage(tmp_path, overwrite=True)
    with stage.lock():
        monkeypatch.setattr(storage, "remove", lose)
        with pytest.raises(OutputError, match="its lock was removed"):
            stage.clear()
    assert (tmp_path / "a").exists() != (tmp_path / "b").exists()


def test_a_driver_that_lost_its_folder_publishes_nothing(tmp_path: Path) -> None:
    stage = _stage(tmp_path, owned=["data"])
    with stage.claim():
        (tmp_path / ".lock-000001").unlink()
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        within = Stage("checkpoint", str(tmp_path / "checkpoints" / "step-1"))
        for write in (
            stage.reopen,
            stage.clear,
            stage.begin,
            lambda: stage.remove("data"),
            lambda: stage.publish({}, []),
            lambda: within.publish({}, []),
        ):
            with pytest.raises(OutputError, match="its lock was removed; pack stops here"):
                write()
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before

"""Two trainers on one run folder: the second is refused, and one that lost the folder publishes nothing."""

from pathlib import Path

import pytest

from core import storage
from core.errors import OutputError
from core.storage import locks
from tests.core.race import dead_holder
from tests.train.folder import STEPS, Folder
from tests.train.launch import run
from train import training_run
from train.loop import train
from train.parallel import World

pytestmark = pytest.mark.distributed


@pytest.fixture
def folder(packed: Path, tmp_path: Path) -> Folder:
    return Folder(tmp_path, packed)


def without_lock(folder: Folder) -> dict[str, bytes]:
    """Return the files apart from the lock, which is renewed."""
    return {path: data for path, data in folder.contents().items() if locks.PREFIX not in path}


def test_the_second_is_refused_until_the_first_ends(folder: Folder) -> None:
    with locks.held(str(folder.training), "train"):
        before = without_lock(folder)
        ended = run(2, *folder.arguments)
        assert ended.returncode == 1
        errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert errors[0].startswith(f"error: {folder.training}: train is running there, as process ")
        assert without_lock(folder) == before
    ended = run(2, *folder.arguments)
    assert ended.returncode == 0, ended.stderr
    assert len(folder.metrics("train/loss")) == STEPS
    assert locks._names(str(folder.training)) == locks.contents(str(folder.training))


def test_the_lock_of_a_killed_trainer_of_this_machine_is_taken_over_at_once(
    folder: Folder, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    name, data = dead_holder("train")
    storage.write_atomic(storage.join(str(folder.training), name), data)
    short = ("train.steps=2", "train.warmup_steps=0")
    train(folder.config(*short), world)
    assert "waiting" not in capsys.readouterr().out
    assert (folder.training / "manifest.json").exists()
    # A complete run needs no lock.
    with locks.held(str(folder.training), "train"):
        train(folder.config(*short), world)
    assert capsys.readouterr().out == "train: already done (step 2)\n"


def test_a_trainer_that_lost_its_folder_publishes_no_checkpoint(
    folder: Folder, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = training_run.describe_order

    def lose(begun: training_run.TrainingRun) -> str:
        name, data = dead_holder("train", 2)
        storage.write_atomic(storage.join(begun.folder, name), data)
        return describe(begun)

    monkeypatch.setattr(training_run, "describe_order", lose)
    with pytest.raises(
        OutputError, match=r"training: process \d+ on \S+ took over at [^\n]*; train stops here"
    ):
        train(folder.config(), world)
    checkpoints = folder.training / "checkpoints"
    assert not [*checkpoints.glob("*/manifest.json"), *checkpoints.glob("latest")]
    assert not (folder.training / "manifest.json").exists()
    assert (folder.training / ".lock-000002").exists()
    monkeypatch.undo()
    train(folder.config("train.steps=3"), world)
    assert (folder.training / "manifest.json").exists()

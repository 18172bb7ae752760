"""The trainer at two gloo processes: killed, resumed, moved, misused."""

import random
import shutil
from pathlib import Path

import pytest

from core import manifest
from tests.train.folder import STEPS, Folder
from tests.train.launch import kill_after, run
from train.loop import train
from train.parallel import World

pytestmark = pytest.mark.distributed

LEARNED = ("train/", "val/", "data/")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, packed: Path) -> Folder:
    """A run of two processes from first to last."""
    result = Folder(tmp_path_factory.mktemp("uninterrupted"), packed)
    ended = run(2, *result.arguments)
    assert ended.returncode == 0, ended.stderr
    # Warnings are shown in these runs, and there are none.
    assert all(line.startswith("train: step ") for line in ended.stderr.splitlines()), ended.stderr
    return result


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, packed: Path) -> Folder:
    """A run of two processes that was killed between its first checkpoint and its end."""
    result = Folder(tmp_path_factory.mktemp("killed"), packed)
    kill_after(random.randint(4, 8), result.metrics_file, 2, *result.arguments)
    assert not (result.training / "manifest.json").exists()
    return result


def test_it_learns_and_tells(uninterrupted: Folder) -> None:
    told = uninterrupted.metrics("")
    assert told[-1]["train/loss"] < told[0]["train/loss"] - 0.3
    assert told[-1]["val/bpb"] < told[3]["val/bpb"]
    assert {"train/lr", "train/grad_norm", "data/batch_hash", "perf/tok_per_sec"} <= set(told[0])
    assert {f"val/{what}/{source}" for what in ("loss", "bpb") for source in ("books", "wikipedia")} <= set(
        told[-1]
    )
    assert [line["step"] for line in told if "val/bpb" in line] == [4, 8, 10]
    assert list((uninterrupted.training / "tensorboard").iterdir())
    checkpoints = (uninterrupted.training / "checkpoints").iterdir()
    assert sorted(path.name for path in checkpoints) == ["latest", "step-00000009", "step-00000010"]


def test_a_killed_run_resumes_bit_for_bit(uninterrupted: Folder, killed: Folder, tmp_path: Path) -> None:
    resumed = Folder(tmp_path, killed.output)
    # What a checkpoint leaves behind that was cut short.
    torn = resumed.training / "checkpoints" / "step-00000099"
    torn.mkdir()
    (torn / "__0_0.distcp").write_bytes(b"half")
    ended = run(2, *resumed.arguments)
    assert ended.returncode == 0, ended.stderr
    assert "resuming after step" in ended.stdout
    assert resumed.metrics(*LEARNED) == uninterrupted.metrics(*LEARNED)
    assert not torn.exists()


def test_another_number_of_processes_sees_the_same_batches(
    uninterrupted: Folder, killed: Folder, tmp_path: Path, alone: World, capsys: pytest.CaptureFixture[str]
) -> None:
    resumed = Folder(tmp_path, killed.output)
    train(resumed.config(), alone)
    assert "resuming after step" in capsys.readouterr().out
    assert resumed.metrics("data/") == uninterrupted.metrics("data/")
    for one, two in zip(resumed.metrics("train/loss"), uninterrupted.metrics("train/loss"), strict=True):
        assert one["train/loss"] == pytest.approx(two["train/loss"], rel=1e-4)


def test_a_complete_run_is_left_alone(
    uninterrupted: Folder, alone: World, capsys: pytest.CaptureFixture[str]
) -> None:
    before = uninterrupted.contents()
    train(uninterrupted.config(), alone)
    assert capsys.readouterr().out == f"train: already done (step {STEPS})\n"
    assert uninterrupted.contents() == before


def test_killed_after_its_last_step_it_only_completes(
    uninterrupted: Folder, killed: Folder, tmp_path: Path, alone: World
) -> None:
    cut = Folder(tmp_path, uninterrupted.output)
    before = manifest.read(str(cut.training), "train")
    (cut.training / "manifest.json").unlink()
    shutil.copy(killed.training / "started.json", cut.training)
    train(cut.config(), alone)
    assert manifest.read(str(cut.training), "train").sha256() == before.sha256()
    manifest.verify(str(cut.training), before)
    assert not (cut.training / "started.json").exists()


def test_an_error_of_all_processes_is_told_once(packed: Path, tmp_path: Path) -> None:
    made = Folder(tmp_path, packed)
    before = made.contents()
    ended = run(2, *made.arguments, "--set", "train.batch_size=9")
    assert ended.returncode == 1
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert errors == [
        "error: train.batch_size = 9: must be a multiple of the number of processes, 2; change it or "
        "--nproc-per-node"
    ]
    assert made.contents() == before

"""Pre-training with two gloo processes: results, kill and resume, errors."""

import random
import shutil
from itertools import product
from pathlib import Path

import pytest

from core import manifest
from model.generation import Sampling
from model.loading import load_latest_checkpoint
from tests.train.folder import STEPS, Folder
from tests.train.launch import kill_after, run
from train.loop import train
from train.parallel import World
from train.sample import complete

pytestmark = pytest.mark.distributed

LEARNED = ("train/", "val/", "data/")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, packed: Path) -> Folder:
    """Train with two processes, without interruption."""
    result = Folder(tmp_path_factory.mktemp("uninterrupted"), packed)
    ended = run(2, *result.arguments)
    assert ended.returncode == 0, ended.stderr
    # Warnings would be printed here.
    assert all(line.startswith("train: step ") for line in ended.stderr.splitlines()), ended.stderr
    return result


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, packed: Path) -> Folder:
    """Kill a run of two processes between its first checkpoint and its end."""
    result = Folder(tmp_path_factory.mktemp("killed"), packed)
    kill_after(random.randint(4, 8), result.metrics_file, 2, *result.arguments)
    assert not (result.training / "manifest.json").exists()
    return result


def test_training_learns_and_writes_metrics(uninterrupted: Folder) -> None:
    lines = uninterrupted.metrics("")
    assert lines[-1]["train/loss"] < lines[0]["train/loss"] - 0.3
    assert lines[-1]["val/bpb"] < lines[3]["val/bpb"]
    assert {"train/lr", "train/grad_norm", "data/batch_hash", "perf/tok_per_sec"} <= set(lines[0])
    of_losses = {
        f"{split}/{what}{of}"
        for split in ("train", "val")
        for what in ("loss", "perplexity", "bpb")
        for of in ("", "/books", "/wikipedia")
    }
    assert of_losses <= set(lines[-1])
    assert [line["step"] for line in lines if "val/bpb" in line] == [4, 8, 10]
    assert list((uninterrupted.training / "tensorboard").iterdir())
    checkpoints = (uninterrupted.training / "checkpoints").iterdir()
    assert sorted(path.name for path in checkpoints) == ["latest", "step-00000009", "step-00000010"]


def test_a_killed_run_resumes_bit_for_bit(uninterrupted: Folder, killed: Folder, tmp_path: Path) -> None:
    resumed = Folder(tmp_path, killed.output)
    # An incomplete checkpoint.
    torn = resumed.training / "checkpoints" / "step-00000099"
    torn.mkdir()
    (torn / "__0_0.distcp").write_bytes(b"half")
    ended = run(2, *resumed.arguments)
    assert ended.returncode == 0, ended.stderr
    assert "resuming after step" in ended.stdout
    assert resumed.metrics(*LEARNED) == uninterrupted.metrics(*LEARNED)
    assert resumed.samples() == uninterrupted.samples()
    assert not torn.exists()


def test_batches_do_not_depend_on_the_number_of_processes(
    uninterrupted: Folder, killed: Folder, tmp_path: Path, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    resumed = Folder(tmp_path, killed.output)
    train(resumed.config(), world)
    assert "resuming after step" in capsys.readouterr().out
    assert resumed.metrics("data/") == uninterrupted.metrics("data/")
    for one, two in zip(resumed.metrics("train/loss"), uninterrupted.metrics("train/loss"), strict=True):
        assert one["train/loss"] == pytest.approx(two["train/loss"], rel=1e-4)


def test_samples_are_greedy_continuations(uninterrupted: Folder, world: World) -> None:
    found = uninterrupted.samples()
    prompts = ("the old mill", "slow")
    assert [(each["step"], each["prompt"]) for each in found] == [*product((4, 8, 10), prompts)]
    model, tokenizer, _ = load_latest_checkpoint(uninterrupted.config(), world.device)
    stop, greedy = frozenset({tokenizer.eos}), Sampling(temperature=0)
    for each in found[-2:]:
        assert each["text"] == "".join(complete(model, tokenizer, each["prompt"], 5, greedy, stop))


def test_complete_runs_are_unchanged(
    uninterrupted: Folder, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    before = uninterrupted.contents()
    train(uninterrupted.config(), world)
    assert capsys.readouterr().out == f"train: already done (step {STEPS})\n"
    assert uninterrupted.contents() == before


def test_run_killed_after_its_last_step_only_publishes(
    uninterrupted: Folder, killed: Folder, tmp_path: Path, world: World
) -> None:
    cut = Folder(tmp_path, uninterrupted.output)
    before = manifest.read(str(cut.training), "train")
    (cut.training / "manifest.json").unlink()
    shutil.copy(killed.training / "started.json", cut.training)
    train(cut.config(), world)
    assert manifest.read(str(cut.training), "train").sha256() == before.sha256()
    manifest.verify(str(cut.training), before)
    assert not (cut.training / "started.json").exists()


def test_an_error_of_all_processes_is_reported_once(packed: Path, tmp_path: Path) -> None:
    made = Folder(tmp_path, packed)
    before = made.contents()
    ended = run(2, *made.arguments, "--set", "train.batch_size=9")
    assert ended.returncode == 1
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert errors == [
        "error: train.batch_size = 9: must be a multiple of the number of processes, 2; change it or "
        "--nproc-per-node"
    ]
    assert ended.stderr.splitlines()[-2:] == [errors[0], "=" * 60]  # torchrun's ruler
    assert made.contents() == before

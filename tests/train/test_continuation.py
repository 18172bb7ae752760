"""Runs that are stopped and resumed, continued with more steps, or refused for what has changed."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from core import manifest
from core.errors import ConfigError, OutputError
from model.formats.checkpoint import find_latest
from tests.train.folder import STEPS, Folder
from tests.train.launch import ROOT, TIMEOUT, children, command, environment
from train.loop import train
from train.parallel import World

CONSTANT = "train.schedule='constant'"
LEARNED = ("train/", "val/", "data/batch_hash")


def test_a_complete_run_is_continued_with_more_steps(packed: Path, tmp_path: Path, world: World) -> None:
    whole, parts = Folder(tmp_path / "whole", packed), Folder(tmp_path / "parts", packed)
    dropout = "model.dropout=0.1"
    train(whole.config(CONSTANT, dropout), world)
    train(parts.config(CONSTANT, dropout, "train.steps=4"), world)
    assert manifest.read(str(parts.training), "train").counts["steps"] == 4
    train(parts.config(CONSTANT, dropout), world)
    assert manifest.read(str(parts.training), "train").counts["steps"] == STEPS
    assert parts.metrics(*LEARNED) == whole.metrics(*LEARNED)


def test_the_schedule_may_change_when_a_run_is_continued(packed: Path, tmp_path: Path, world: World) -> None:
    folder = Folder(tmp_path, packed)
    train(folder.config(CONSTANT, "train.steps=6"), world)
    before = folder.contents()
    with pytest.raises(
        ConfigError, match=r"train\.schedule = linear: .* is complete with constant; set train\.steps"
    ):
        train(folder.config("train.schedule='linear'", "train.steps=6"), world)
    assert folder.contents() == before
    train(folder.config("train.schedule='wsd'", "train.decay_share=0.3", "train.min_lr_ratio=0"), world)
    rates = [line["train/lr"] for line in folder.metrics("train/lr")]
    assert rates[2:7] == [3e-3] * 5
    assert rates[7:] == pytest.approx([2e-3, 1e-3, 0.0])


def test_the_warm_up_does_not_begin_again(packed: Path, tmp_path: Path, world: World) -> None:
    folder = Folder(tmp_path, packed)
    warmup = "train.warmup_steps=-1"
    train(folder.config(CONSTANT, warmup, "train.steps=10"), world)
    train(folder.config(CONSTANT, warmup, "train.steps=40"), world)
    assert [line["train/lr"] for line in folder.metrics("train/lr")] == [3e-3] * 40


def test_a_run_whose_checkpoints_are_gone_is_not_continued(
    packed: Path, tmp_path: Path, world: World
) -> None:
    folder = Folder(tmp_path, packed)
    train(folder.config("train.steps=4"), world)
    shutil.rmtree(folder.training / "checkpoints")
    before = folder.contents()
    with pytest.raises(OutputError, match=r"the checkpoint of step 4, from which to continue, is missing"):
        train(folder.config(), world)
    assert folder.contents() == before


def test_fewer_steps_than_were_taken_are_refused(packed: Path, tmp_path: Path, world: World) -> None:
    folder = Folder(tmp_path, packed)
    train(folder.config("train.steps=4"), world)
    before = folder.contents()
    with pytest.raises(
        ConfigError, match=r"train\.steps = 3: the run in .* has taken 4 steps; set at least 4"
    ):
        train(folder.config("train.steps=3"), world)
    assert folder.contents() == before
    train(folder.config("train.steps=3", "output.overwrite=true"), world)
    assert len(folder.metrics("train/")) == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.learning_rate=1e-3", r"train\.learning_rate = 0\.001: was 0\.003"),
        ("train.seed=9", r"train\.seed = 9: was 1"),
        ("model.num_layers=3", r"model\.num_layers = 3: was 2"),
    ],
)
def test_what_may_not_change_is_refused_by_name(
    override: str, message: str, packed: Path, tmp_path: Path, world: World
) -> None:
    folder = Folder(tmp_path, packed)
    train(folder.config("train.steps=3"), world)
    before = folder.contents()
    with pytest.raises(OutputError, match=message):
        train(folder.config(override), world)
    (folder.training / "manifest.json").unlink()  # as if it were interrupted after its last checkpoint
    with pytest.raises(OutputError, match=message):
        train(folder.config(override), world)
    assert folder.contents().items() <= before.items()


@pytest.mark.distributed
@pytest.mark.parametrize(
    ("processes", "number", "returncode"),
    [(1, signal.SIGTERM, 0), (2, signal.SIGINT, 1), (2, signal.SIGUSR1, 0)],
)
def test_signals_stop_a_run_after_a_checkpoint(
    processes: int, number: int, returncode: int, packed: Path, tmp_path: Path, world: World
) -> None:
    """With two processes, only one of them gets the signal; torchrun exits with 1 after any failure."""
    stopped, whole = Folder(tmp_path / "stopped", packed), Folder(tmp_path / "whole", packed)
    dropout = "model.dropout=0.1"
    endless = [f"--set={each}" for each in (CONSTANT, dropout, "train.steps=100000")]
    process = subprocess.Popen(
        command(processes, *stopped.arguments, *endless),
        env=environment(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + TIMEOUT
    while not stopped.metrics_file.exists() or stopped.metrics_file.read_bytes().count(b"\n") < 4:
        assert process.poll() is None, "ended before it could be stopped"
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.01)
    os.kill(children(process.pid)[-1] if processes > 1 else process.pid, number)
    printed, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == returncode, errors
    assert "RuntimeError" not in errors  # as of a collective whose other processes have left
    assert ("interrupted" in errors) == (number == signal.SIGINT)
    steps = len(stopped.metrics("train/"))
    found = find_latest(str(stopped.training / "checkpoints"))
    assert found
    assert found[1].counts["step"] == steps
    assert f"train: stopped after step {steps}; run it again to go on\n" in printed
    assert not (stopped.training / "manifest.json").exists()

    if processes == 1:
        enough = f"train.steps={steps + 2}"
        for folder in (stopped, whole):
            train(folder.config(CONSTANT, dropout, enough), world)
        learned = ("train/", "data/batch_hash")
        assert stopped.metrics(*learned) == whole.metrics(*learned)

import json
import math
from pathlib import Path

import pytest
import torch

from core.config import TrainConfig
from core.errors import TrainingError
from core.shards import Shards
from tests.train.folder import STEPS, Folder
from train import training_run
from train.guard import WINDOW, Guard, remove_records
from train.loop import Trainer, train
from train.parallel import World

TRAIN = TrainConfig(spike_sigmas=4.0, max_skipped_steps=2)


def settled(config: TrainConfig = TRAIN) -> Guard:
    """Return a guard after a window of steps with losses and norms about 2 and 1."""
    guard = Guard(config)
    for step in range(WINDOW):
        assert not guard.check(2.0 + step % 3 / 10, 1.0 + step % 5 / 10)
    return guard


def test_spikes_beyond_the_band_are_skipped() -> None:
    guard = settled()
    assert not guard.check(2.3, 1.5)
    assert guard.check(2.6, 1.0).startswith("the loss is 2.6, above 2.4")
    assert guard.check(2.0, 9.0).startswith("the gradient norm is 9, above 1.")
    assert guard.state()["in_a_row"] == 2
    # Losses below the band, and steps without a whole window before them, are fine.
    assert not guard.check(0.1, 0.01)
    assert not Guard(TRAIN).check(50.0, 50.0)
    assert not settled(TrainConfig(spike_sigmas=0)).check(99.0, 99.0)


def test_the_band_follows_values_that_stay_high() -> None:
    guard = settled(TrainConfig(spike_sigmas=6.0))
    skipped = [step for step in range(WINDOW) if guard.check(4.0 + step % 3 / 10, 8.0 + step % 5 / 10)]
    assert 1 <= len(skipped) <= 5
    assert skipped == list(range(len(skipped)))


def test_the_band_begins_anew_when_forgotten() -> None:
    guard = settled()
    guard.forget()
    for _ in range(WINDOW):
        assert not guard.check(9.0, 9.0)
    assert guard.check(19.0, 9.0).startswith("the loss is 19")


def test_small_changes_of_constant_values_are_no_spikes() -> None:
    guard = Guard(TRAIN)
    for _ in range(WINDOW):
        guard.check(2.0, 1.0)
    assert not guard.check(2.01, 1.01)


@pytest.mark.parametrize(("loss", "norm"), [(math.nan, 1.0), (1.0, math.inf), (math.inf, math.nan)])
def test_values_that_are_not_finite_are_skipped_always(loss: float, norm: float) -> None:
    assert "is nan" in Guard(TRAIN).check(loss, norm) or "is inf" in Guard(TRAIN).check(loss, norm)


def test_too_many_skipped_steps_in_a_row_end_the_run() -> None:
    guard = Guard(TRAIN)
    for step in (1, 2):
        guard.require_progress(step, guard.check(math.nan, 1.0))
    assert not guard.check(2.0, 1.0)
    for step in (4, 5):
        guard.require_progress(step, guard.check(math.nan, 1.0))
    with pytest.raises(
        TrainingError, match="step 6 and 2 before it cannot change the weights: the loss is nan"
    ):
        guard.require_progress(6, guard.check(math.nan, 1.0))


def test_the_state_is_plain_json() -> None:
    guard = settled()
    guard.check(math.nan, 1.0)
    copy = Guard(TRAIN, json.loads(json.dumps(guard.state())))
    for values in ((2.31, 1.2), (2.6, 1.0), (2.2, 1.45)):
        assert copy.check(*values) == guard.check(*values)
    assert copy.state() == guard.state()


@pytest.mark.distributed
def test_a_step_that_is_not_finite_is_skipped_and_recorded(
    packed: Path, tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = {5}
    forward_backward = Trainer._forward_backward

    def spoil(trainer: Trainer, *arguments: object) -> torch.Tensor:
        rows = forward_backward(trainer, *arguments)  # type: ignore[arg-type]
        if trainer.step in bad:
            rows[3, 0] = math.nan
            next(trainer.model.parameters()).grad.fill_(math.nan)  # type: ignore[union-attr]
        return rows

    monkeypatch.setattr(Trainer, "_forward_backward", spoil)
    folder = Folder(tmp_path, packed)
    train(folder.config(), world)
    lines = folder.metrics("train/")
    assert [line.get("train/skipped") for line in lines] == [
        "the loss is nan" if step == 5 else None for step in range(1, STEPS + 1)
    ]
    assert "train/loss" not in lines[4]
    assert all(math.isfinite(line["train/loss"]) for line in lines[5:])

    record = json.loads((folder.training / "skipped" / "step-00000005.json").read_text())
    assert (record["step"], record["reason"], len(record["rows"])) == (5, "the loss is nan", 8)
    assert [row["position"] for row in record["rows"]] == list(range(32, 40))
    assert [row["loss"] is None for row in record["rows"]] == [number == 3 for number in range(8)]
    shards = Shards.open(str(folder.output / "shards"))
    for row in record["rows"]:
        assert 0 <= row["row"] < shards.rows("train", row["source"])
        assert row["documents"]

    # The records of steps that are taken again are removed, whether there are any or not.
    run = training_run.prepare(folder.config(), shards, ())
    remove_records(run, 5)
    assert (folder.training / "skipped" / "step-00000005.json").exists()
    for _ in range(2):
        remove_records(run, 4)
        assert not any((folder.training / "skipped").iterdir())
    # One more than may be skipped in a row.
    bad |= {6, 7, 8}
    with pytest.raises(TrainingError, match="step 8 and 3 before it cannot change the weights"):
        train(folder.config("train.max_skipped_steps=3", "train.seed=3", "output.overwrite=true"), world)
    assert "the loss is nan" in folder.metrics("train/")[7]["train/skipped"]

"""Resumed runs whose first step does or does not agree with the checkpoint's certificate."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from core.errors import TrainingError
from model.transformer import Transformer
from tests.train.folder import Folder
from train.certificate import Outcome, check, record
from train.loop import train
from train.parallel import World

HERE = {"torch": "2", "device": "cpu", "processes": 2, "compile": False}
TAKEN = Outcome.of(5, "00ff", 2.5, 1.25)


def agreement(outcome: Outcome, *, changed: dict[str, Any] | None = None, **options: bool) -> str:
    """Compare an outcome with the certificate of ``TAKEN``, as it is read from a manifest."""
    recorded = json.loads(json.dumps(record(TAKEN, HERE)))
    flags = {"same_order": True, "dropout": False} | options
    return check("step-00000004", recorded, outcome, HERE | (changed or {}), **flags)


def test_the_same_environment_must_agree_bit_for_bit() -> None:
    assert agreement(TAKEN) == "step 5 has the recorded batch, loss and gradient norm, bit for bit"
    with pytest.raises(
        TrainingError, match=r"^step-00000004: step 5 after it must have loss 2\.5, but has 2\.5"
    ):
        agreement(Outcome.of(5, "00ff", math.nextafter(2.5, 3), 1.25))
    for value in (math.nan, math.inf):
        with pytest.raises(TrainingError, match=r"gradient_norm 1\.25, but has None: .* remove \"certif"):
            agreement(Outcome.of(5, "00ff", 2.5, value))


def test_another_environment_may_differ_a_little() -> None:
    near, far = Outcome.of(5, "00ff", 2.51, 1.3), Outcome.of(5, "00ff", 2.53, 1.25)
    fewer = {"processes": 1}
    assert agreement(near, changed=fewer).endswith("gradient norm, within tolerance (processes differs)")
    assert "(compile differs)" in agreement(near, changed={"compile": True})
    with pytest.raises(TrainingError, match=r"loss 2\.5, which allows a difference of 1%, but has 2\.53"):
        agreement(far, changed=fewer)
    # Other processes drop other values.
    assert "recorded batch, within" in agreement(far, changed=fewer, dropout=True)
    with pytest.raises(TrainingError, match="batch_hash 00ff, but has 00fe"):
        agreement(Outcome.of(5, "00fe", 2.5, 1.25), changed=fewer, dropout=True)


def test_batches_differ_only_after_a_change_of_edits() -> None:
    edited = Outcome.of(5, "00fe", 2.0, 1.0)
    with pytest.raises(TrainingError, match="batch_hash 00ff, but has 00fe"):
        agreement(edited)
    assert agreement(edited, same_order=False).endswith("since edits were changed")
    with pytest.raises(TrainingError, match="loss"):  # the edits do not concern this batch
        agreement(Outcome.of(5, "00ff", 2.0, 1.0), same_order=False)
    with pytest.raises(TrainingError, match="loss"):
        agreement(Outcome.of(5, "00ff"))  # without targets


def test_a_resumed_run_ends_if_its_first_step_differs(
    packed: Path,
    tmp_path: Path,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = Folder(tmp_path, packed)
    options = ("train.schedule='constant'", "model.dropout=0.1", "train.checkpoint_every=2")
    train(folder.config("train.steps=4", *options), world)
    # Recorded while training went on.
    assert certificate(folder, 2) == values(folder, 3)
    before = folder.contents()

    logits = Transformer._project
    with monkeypatch.context() as patch:
        patch.setattr(Transformer, "_project", lambda *arguments: logits(*arguments) * 1.001)
        with pytest.raises(TrainingError, match=r"step-00000004: step 5 after it must have loss \d"):
            train(folder.config("train.steps=5", *options), world)
    after = folder.contents()
    kept = [path for path in before if "checkpoints" in path or path.endswith("metrics.jsonl")]
    assert [after.get(path) for path in kept] == [before[path] for path in kept]

    capsys.readouterr()
    train(folder.config("train.steps=5", *options), world)
    line = "train: step 5 has the recorded batch, loss and gradient norm, bit for bit\n"
    assert line in capsys.readouterr().out
    # Recorded although the run ended.
    assert certificate(folder, 4) == values(folder, 5)


def certificate(folder: Folder, step: int) -> tuple[Any, ...]:
    """Return the certificate of a checkpoint."""
    manifest = folder.training / "checkpoints" / f"step-{step:08}" / "manifest.json"
    found = json.loads(manifest.read_text())["facts"]["certificate"]
    return found["step"], found["batch_hash"], found["loss"], found["gradient_norm"]


def values(folder: Folder, step: int) -> tuple[Any, ...]:
    """Return what a certificate records from the metrics of a step."""
    line = folder.metrics("")[step - 1]
    return step, line["data/batch_hash"], line["train/loss"], line["train/grad_norm"]

"""Options of computation that must not change what is learned."""

import shutil
from pathlib import Path

import pytest

from tests.train.folder import Folder
from train.loop import train
from train.parallel import World


def test_bfloat16_and_activation_checkpointing_learn_the_same(
    packed: Path, tmp_path: Path, world: World
) -> None:
    reduced = Folder(tmp_path / "reduced", packed)
    options = ("train.precision='bfloat16'", "train.activation_checkpointing='selective'")
    train(reduced.config("train.steps=6", *options), world)
    plain = Folder(tmp_path / "plain", packed)
    train(plain.config("train.steps=6"), world)
    for low, full in zip(reduced.metrics("train/loss"), plain.metrics("train/loss"), strict=True):
        assert low["train/loss"] == pytest.approx(full["train/loss"], rel=1e-3)


@pytest.mark.skipif(not shutil.which("c++"), reason="torch.compile needs a C++ compiler on CPUs")
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch.compile reads it
def test_compiled_blocks_learn_the_same(packed: Path, tmp_path: Path, world: World) -> None:
    compiled = Folder(tmp_path, packed)
    train(
        compiled.config("train.steps=6", "train.compile=true", "model.num_layers=1"),
        world,
    )
    plain = Folder(tmp_path / "plain", packed)
    train(plain.config("train.steps=6", "model.num_layers=1"), world)
    for one, other in zip(compiled.metrics("train/loss"), plain.metrics("train/loss"), strict=True):
        assert one["train/loss"] == pytest.approx(other["train/loss"], rel=1e-4)

"""Shards of FSDP2 and HSDP, and Muon, whose updates depend on whole matrices."""

from pathlib import Path

import pytest

from core.errors import ConfigError
from tests.train.folder import Folder
from tests.train.launch import run
from train.loop import train
from train.parallel import World

# The rows of a matrix do not divide evenly, and seven matrices not either.
OPTIONS = (
    "train.optimizer='muon'",
    "train.schedule='constant'",
    "model.num_layers=1",
    "model.intermediate_size=37",
)


@pytest.mark.distributed
def test_replicas_of_shards_learn_the_same_as_one_process(packed: Path, tmp_path: Path, world: World) -> None:
    """Two replicas of two shards with Muon; their checkpoint is continued by one process."""
    one, four = Folder(tmp_path / "one", packed), Folder(tmp_path / "four", packed)
    arguments = [f"--set={each}" for each in (*OPTIONS, "train.steps=4", "train.shard_processes=2")]
    ended = run(4, *four.arguments, *arguments)
    assert ended.returncode == 0, ended.stderr
    train(four.config(*OPTIONS, "train.steps=6"), world)
    train(one.config(*OPTIONS, "train.steps=6"), world)
    for measured, expected in zip(four.metrics("train/"), one.metrics("train/"), strict=True):
        assert measured == pytest.approx(expected, rel=1e-6)


def test_shards_must_divide_the_processes(packed: Path, tmp_path: Path, world: World) -> None:
    folder = Folder(tmp_path, packed)
    before = folder.contents()
    with pytest.raises(
        ConfigError, match=r"train\.shard_processes = 2: must divide the number of processes, 1"
    ):
        train(folder.config("train.shard_processes=2"), world)
    assert folder.contents() == before

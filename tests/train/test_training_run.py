"""What is refused before anything is written."""

import json
from pathlib import Path

import pytest

from core.errors import ConfigError, InputError, ManifestError, MismatchError, OutputError
from model.loading import load_latest_checkpoint
from tests.train.folder import Folder
from train.loop import train
from train.parallel import World


@pytest.fixture
def folder(packed: Path, tmp_path: Path) -> Folder:
    return Folder(tmp_path, packed)


def refused(folder: Folder, alone: World, kind: type[Exception], message: str, *overrides: str) -> None:
    before = folder.contents()
    with pytest.raises(kind, match=message) as caught:
        train(folder.config(*overrides), alone)
    assert "\n" not in str(caught.value)
    assert folder.contents() == before


def test_a_shard_with_one_bit_changed(folder: Folder, alone: World) -> None:
    path = next((folder.output / "shards" / "train" / "books").iterdir())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    refused(folder, alone, ManifestError, "it was altered")


def test_a_tokenizer_that_the_shards_were_not_made_with(folder: Folder, alone: World) -> None:
    path = folder.output / "shards" / "manifest.json"
    found = json.loads(path.read_text())
    found["facts"]["tokenizer_sha256"] = "0" * 64
    path.write_text(json.dumps(found))
    refused(folder, alone, MismatchError, "packed with tokenizer 000000000000…")


def test_a_source_that_is_not_there(folder: Folder, alone: World) -> None:
    refused(folder, alone, ConfigError, "this source has no training rows", "train.mixture.news=1.0")


def test_no_output_folder(folder: Folder, alone: World) -> None:
    refused(folder, alone, ConfigError, "output.path is empty", "output.path=''")


def test_a_folder_with_something_else_in_it(folder: Folder, alone: World) -> None:
    folder.training.mkdir()
    (folder.training / "notes.txt").write_text("mine")
    refused(folder, alone, OutputError, "holds files that are not Gristmill's")


def test_another_configuration_over_a_run_unless_told(folder: Folder, alone: World) -> None:
    short = ("train.steps=2", "train.warmup_steps=0")
    train(folder.config(*short), alone)
    refused(folder, alone, OutputError, "output.overwrite=true", *short, "train.seed=2")
    train(folder.config(*short, "train.seed=2", "output.overwrite=true"), alone)
    assert json.loads((folder.training / "manifest.json").read_text())["config"]["train"]["seed"] == 2
    before = folder.contents()
    # What does not change what is learned may change.
    train(
        folder.config(*short, "train.seed=2", "train.micro_batch_size=4", "train.keep_checkpoints=9"), alone
    )
    assert folder.contents() == before


def test_sampling_without_a_checkpoint(folder: Folder, alone: World) -> None:
    with pytest.raises(InputError, match="contains no checkpoint"):
        load_latest_checkpoint(folder.config(), alone.device)

"""Runs that are refused before anything is written."""

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


def refused(folder: Folder, world: World, kind: type[Exception], message: str, *overrides: str) -> None:
    before = folder.contents()
    with pytest.raises(kind, match=message) as caught:
        train(folder.config(*overrides), world)
    assert "\n" not in str(caught.value)
    assert folder.contents() == before


def test_altered_shards_are_refused(folder: Folder, world: World) -> None:
    path = next((folder.output / "shards" / "train" / "books").iterdir())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    refused(folder, world, ManifestError, "it was altered")


def test_another_tokenizer_is_refused(folder: Folder, world: World) -> None:
    path = folder.output / "shards" / "manifest.json"
    found = json.loads(path.read_text())
    found["facts"]["tokenizer_sha256"] = "0" * 64
    path.write_text(json.dumps(found))
    refused(folder, world, MismatchError, "packed with tokenizer 000000000000…")


def test_unknown_source_is_refused(folder: Folder, world: World) -> None:
    refused(folder, world, ConfigError, "this source has no training rows", "train.mixture.news=1.0")


def test_missing_output_path_is_refused(folder: Folder, world: World) -> None:
    refused(folder, world, ConfigError, "output.path is empty", "output.path=''")


def test_folder_with_other_content_is_refused(folder: Folder, world: World) -> None:
    folder.training.mkdir()
    (folder.training / "notes.txt").write_text("mine")
    refused(folder, world, OutputError, "holds files that are not Gristmill's")


def test_another_configuration_needs_overwrite(folder: Folder, world: World) -> None:
    short = ("train.steps=2", "train.warmup_steps=0")
    train(folder.config(*short), world)
    refused(folder, world, OutputError, "output.overwrite=true", *short, "train.seed=2")
    train(folder.config(*short, "train.seed=2", "output.overwrite=true"), world)
    assert json.loads((folder.training / "manifest.json").read_text())["config"]["train"]["seed"] == 2
    before = folder.contents()
    # Settings that do not change what is learned may change.
    train(
        folder.config(*short, "train.seed=2", "train.micro_batch_size=4", "train.keep_checkpoints=9"), world
    )
    assert folder.contents() == before


def test_settings_that_a_later_version_adds_count_as_their_defaults(folder: Folder, world: World) -> None:
    train(folder.config("train.steps=4"), world)
    for path in (folder.training / "manifest.json", *folder.training.glob("checkpoints/*/manifest.json")):
        found = json.loads(path.read_text())
        del found["facts"]["train"]["batch_size_schedule"], found["facts"]["model"]["qk_norm"]
        path.write_text(json.dumps(found))
    before = folder.contents()
    train(folder.config("train.steps=4"), world)
    assert folder.contents() == before
    later = "train.batch_size_schedule=[{from_step=2,batch_size=4}]"
    refused(folder, world, OutputError, r"batch_size_schedule = \[.*was \[\]", "train.steps=4", later)
    refused(folder, world, OutputError, "qk_norm = True: was False", "train.steps=4", "model.qk_norm=true")
    train(folder.config("train.steps=5"), world)
    assert len(folder.metrics("train/loss")) == 5


def test_names_of_sources_are_compared_as_one_value(folder: Folder, world: World) -> None:
    train(folder.config("train.steps=2"), world)
    path = folder.training / "manifest.json"
    found = json.loads(path.read_text())
    found["facts"]["train"]["mixture"]["news"] = 1.0
    path.write_text(json.dumps(found))
    refused(folder, world, OutputError, r"train\.mixture = .*: was .*'news'.*set it back", "train.steps=2")


def test_missing_checkpoint_is_refused(folder: Folder, world: World) -> None:
    with pytest.raises(InputError, match="contains no checkpoint"):
        load_latest_checkpoint(folder.config(), world.device)

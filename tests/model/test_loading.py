"""From a checkpoint to text and figures."""

import json
import math
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import ManifestError
from core.shards import Shards
from core.tokenizer import SentencePieceTokenizer
from model.generation import Sampling
from model.loading import load_latest_checkpoint
from tests.train.folder import Folder
from train import sample, validate
from train.dataset import ShardDataset
from train.loop import train
from train.parallel import World
from train.validation import total


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, packed: Path, alone: World) -> Folder:
    """A short run, with what a GPU would use: low precision and recomputed activations."""
    result = Folder(tmp_path_factory.mktemp("trained"), packed)
    train(
        result.config("train.precision='bfloat16'", "train.activation_checkpointing=true", "train.steps=6"),
        alone,
    )
    return result


def test_low_precision_and_recomputing_learn_the_same(trained: Folder, tmp_path: Path, alone: World) -> None:
    plain = Folder(tmp_path, trained.output)
    train(plain.config("train.steps=6", "output.overwrite=true"), alone)
    for low, full in zip(trained.metrics("train/loss"), plain.metrics("train/loss"), strict=True):
        assert low["train/loss"] == pytest.approx(full["train/loss"], rel=1e-3)


@pytest.mark.skipif(not shutil.which("c++"), reason="torch.compile needs a C++ compiler on CPUs")
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch.compile looks there itself
def test_compiled_blocks_learn_the_same(trained: Folder, tmp_path: Path, alone: World) -> None:
    compiled = Folder(tmp_path, trained.output)
    train(
        compiled.config("train.steps=6", "train.compile=true", "model.num_layers=1", "output.overwrite=true"),
        alone,
    )
    plain = Folder(tmp_path / "plain", trained.output)
    train(plain.config("train.steps=6", "model.num_layers=1", "output.overwrite=true"), alone)
    for one, other in zip(compiled.metrics("train/loss"), plain.metrics("train/loss"), strict=True):
        assert one["train/loss"] == pytest.approx(other["train/loss"], rel=1e-4)


def test_validation_beside_a_unigram_baseline(
    trained: Folder, alone: World, capsys: pytest.CaptureFixture[str]
) -> None:
    validate.compare(trained.config(), alone)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["source", "books", "wikipedia", "all"]
    report = json.loads((trained.training / "validation.json").read_text())
    assert report["step"] == 6
    everything = report["sources"]["all"]
    assert everything["bytes"] == sum(report["sources"][source]["bytes"] for source in ("books", "wikipedia"))
    assert 0 < everything["unigram_bits_per_byte"] < 8
    assert f"{everything['bits_per_byte']:.3f}" in lines[-1]
    validate.compare(trained.config(), alone)
    assert capsys.readouterr().out.splitlines() == ["validate: already done", *lines]


def test_the_baseline_is_add_one_over_the_training_targets(trained: Folder) -> None:
    shards = Shards.open(str(trained.output / "shards"))
    tokenizer = SentencePieceTokenizer.load(str(trained.output / "tokenizer"))

    def targets(split: str) -> list[int]:
        found: list[int] = []
        for source in shards.sources:
            tokens, spans = shards.read(split, source, np.arange(shards.rows(split, source)))
            for row in range(len(tokens)):
                for k in range(spans.bounds[row], spans.bounds[row + 1]):
                    piece = tokens[row, spans.start[k] : spans.start[k] + spans.length[k]]
                    found += piece[1:].tolist()
        return found

    seen, unseen = Counter(targets("train")), targets("validation")
    whole = seen.total() + shards.facts.vocabulary_size
    nats = -sum(math.log((seen[token] + 1) / whole) for token in unseen)
    size = sum(tokenizer.byte_lengths()[token] for token in unseen)
    rows = validate.validation.sample_rows(ShardDataset(shards), 10**9)
    sums = total(validate.unigram(shards, tokenizer, rows))
    assert sums.nats == pytest.approx(nats)
    assert (sums.targets, sums.bytes) == (len(unseen), size)


def test_a_prompt_is_continued_as_text(trained: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    model, tokenizer, manifest = load_latest_checkpoint(trained.config(), torch.device("cpu"))
    assert manifest.counts == {"step": 6}
    pieces = list(sample.complete(model, tokenizer, "The mill", 30, Sampling(seed=5)))
    assert len(pieces) > 1
    arguments = [*trained.arguments, "--prompt", "The mill", "--tokens", "30", "--seed", "5"]
    sample.main([*arguments, "--temperature", "1", "--top-p", "1"])
    assert capsys.readouterr().out == "The mill" + "".join(pieces) + "\n"


def test_characters_of_many_bytes_come_whole(trained: Folder) -> None:
    """Byte tokens of one character never show as a broken one."""
    _, tokenizer, _ = load_latest_checkpoint(trained.config(), torch.device("cpu"))
    ids = tokenizer.encode("naïve 水車 🌾")
    assert len(ids) > len("naïve 水車 🌾")
    shown = list(sample.stream_text(tokenizer, iter(ids)))
    assert "".join(shown) == "naïve 水車 🌾"
    assert not any("\ufffd" in piece for piece in shown)


@pytest.mark.parametrize("wrong", [["--top-p", "1.5"], ["--tokens", "0"], ["--temperature", "-1"]])
def test_arguments_out_of_bounds_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        sample.main(wrong)
    assert "use a number in that range" in capsys.readouterr().err


def test_an_altered_checkpoint_is_refused(trained: Folder, tmp_path: Path) -> None:
    altered = Folder(tmp_path, trained.output)
    path = next((altered.training / "checkpoints" / "step-00000006").glob("*.distcp"))
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ManifestError, match="it was altered"):
        load_latest_checkpoint(altered.config(), torch.device("cpu"))

"""Validation of a trained model against a unigram baseline."""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from core.shards import Shards
from core.tokenizer import load_published
from tests.train.folder import Folder
from train import validate
from train.data.dataset import ShardDataset
from train.loop import train
from train.losses import total
from train.parallel import World
from train.validation import sample_rows


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, packed: Path, world: World) -> Folder:
    """A short run."""
    result = Folder(tmp_path_factory.mktemp("trained"), packed)
    train(result.config("train.steps=6"), world)
    return result


def test_report_has_model_and_unigram_baseline(
    trained: Folder, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    validate.compare(trained.config(), world)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["source", "books", "wikipedia", "all"]
    report = json.loads((trained.training / "validation.json").read_text())
    assert report["step"] == 6
    everything = report["sources"]["all"]
    assert everything["bytes"] == sum(report["sources"][source]["bytes"] for source in ("books", "wikipedia"))
    assert 0 < everything["unigram_bits_per_byte"] < 8
    assert f"{everything['bits_per_byte']:.3f}" in lines[-1]
    validate.compare(trained.config(), world)
    assert capsys.readouterr().out.splitlines() == ["validate: already done", *lines]


def test_baseline_is_add_one_smoothed_over_training_targets(trained: Folder) -> None:
    shards = Shards.open(str(trained.output / "shards"))
    tokenizer = load_published(str(trained.output / "tokenizer"))

    def targets(split: str) -> list[int]:
        found: list[int] = []
        for source in shards.sources:
            tokens, spans = shards.read(split, source, np.arange(shards.rows(split, source)))
            for row in range(len(tokens)):
                for k in range(spans.bounds[row], spans.bounds[row + 1]):
                    segment = tokens[row, spans.start[k] : spans.start[k] + spans.length[k]]
                    found += segment[1:].tolist()
        return found

    counts, unseen = Counter(targets("train")), targets("validation")
    smoothed_total = counts.total() + shards.facts.vocabulary_size
    nats = -sum(math.log((counts[token] + 1) / smoothed_total) for token in unseen)
    size = sum(tokenizer.byte_lengths()[token] for token in unseen)
    rows = sample_rows(ShardDataset(shards), 10**9)
    sums = total(validate.unigram(shards, tokenizer, rows))
    assert sums.nats == pytest.approx(nats)
    assert (sums.targets, sums.bytes) == (len(unseen), size)

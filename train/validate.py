"""``python -m train.validate --config FILE.toml``: bits per byte on unseen text, beside a unigram baseline's.

The baseline knows how often each token comes up in training and nothing else. A model that has learned less
than that is broken; how far it gets below is what it has learned from context. ``torchrun`` shares the work.
"""

import json
import sys
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from core import config as configuration
from core import storage
from core.config import Config
from core.errors import InputError
from core.shards import Shards, SplitName, check_tokenizer
from core.tokenizer import SentencePieceTokenizer
from model.loading import load_latest_checkpoint
from train import parallel, validation
from train.batch import IGNORED
from train.parallel import World
from train.permutation import Integers
from train.rows import ShardRows, read_rows
from train.validation import Sample, Sums

ROWS = 1024
"""Rows counted at a time."""
FILE = "validation.json"
Line = tuple[str, int, float, float, float]
COLUMNS = ("bytes", "loss", "bits_per_byte", "unigram_bits_per_byte")


def main() -> None:
    """The command line."""
    description = "Compare a trained model with a unigram baseline on the validation shards."
    parallel.run(lambda: configuration.from_command_line(description, sys.argv[1:]), compare)


def compare(config: Config, world: World) -> None:
    """Validate both on all validation rows; print a table and write ``OUT/training/validation.json``.

    What that file already says of the same model and shards is only printed again.
    """
    model, tokenizer, checkpoint = load_latest_checkpoint(config, world.device)
    shards = Shards.open(storage.join(config.output.path, "shards"))
    check_tokenizer(shards, tokenizer)
    path = storage.join(config.output.path, "training", FILE)
    of = {
        "step": checkpoint.counts["step"],
        "model_sha256": checkpoint.sha256(),
        "shards_sha256": shards.manifest.sha256(),
    }
    lines = world.from_leader(lambda: _known(path, of))
    if lines and world.leads:
        print("validate: already done")
    if not lines:
        rows = _everything(shards)
        learned = validation.validate(
            model, ShardRows(shards), tokenizer, rows, config.train.micro_batch_size, world
        )
        if world.leads:
            lines = _lines(learned, unigram(shards, tokenizer, rows))
            sources = {line[0]: dict(zip(COLUMNS, line[1:], strict=True)) for line in lines}
            storage.write_atomic(path, json.dumps(of | {"sources": sources}, indent=2).encode() + b"\n")
    if world.leads:
        print(table(lines))


def _everything(shards: Shards) -> Sample:
    """All validation rows. Raises :class:`InputError` if there are none."""
    rows = sum(shards.rows("validation", source) for source in shards.sources)
    if not rows:
        raise InputError(f"{shards.folder}: no validation rows; pack with a larger pack.validation_share")
    return validation.sample(ShardRows(shards), rows)


def _known(path: str, of: Mapping[str, object]) -> list[Line]:
    """The lines of an earlier report on the same model and shards; none if there is no such report."""
    report = json.loads(storage.read_bytes(path)) if storage.exists(path) else {}
    if {key: report.get(key) for key in of} != of:
        return []
    return [(source, *(row[column] for column in COLUMNS)) for source, row in report["sources"].items()]


def unigram(shards: Shards, tokenizer: SentencePieceTokenizer, rows: Sample) -> dict[str, Sums]:
    """Sums by source of a model that gives each token its frequency in the training rows, plus one."""
    counts = np.ones(shards.facts.vocabulary_size)
    for source in shards.sources:
        count = shards.rows("train", source)
        for first in range(0, count, ROWS):
            counts += _target_counts(shards, "train", source, np.arange(first, min(first + ROWS, count)))
    nats = -np.log(counts / counts.sum())
    sums = {}
    for index, source in enumerate(rows.sources):
        found = _target_counts(shards, "validation", source, rows.row[rows.source == index])
        text = found @ tokenizer.byte_lengths()
        sums[source] = Sums(float(found @ nats), float(found.sum()), float(text))
    return sums


def _target_counts(shards: Shards, split: SplitName, source: str, rows: Integers) -> npt.NDArray[np.float64]:
    """How often each token id is a target in some rows."""
    batch, _ = read_rows(ShardRows(shards), split, [source], np.zeros_like(rows), rows)
    targets = batch.targets[batch.targets != IGNORED].numpy()
    return np.bincount(targets, minlength=shards.facts.vocabulary_size).astype(np.float64)


def _lines(learned: dict[str, Sums], baseline: dict[str, Sums]) -> list[Line]:
    named = [*((source, learned[source], baseline[source]) for source in sorted(learned))]
    named.append(("all", validation.total(learned), validation.total(baseline)))
    return [
        (name, round(sums.bytes), sums.loss, sums.bits_per_byte, plain.bits_per_byte)
        for name, sums, plain in named
    ]


def table(lines: list[Line]) -> str:
    """The lines for people."""
    head = f"{'source':<16}{'bytes':>12}{'loss':>9}{'bits/byte':>11}{'unigram':>9}"
    rows = [
        f"{name:<16}{size:>12,}{loss:>9.3f}{bits:>11.3f}{plain:>9.3f}"
        for name, size, loss, bits, plain in lines
    ]
    return "\n".join([head, *rows])


if __name__ == "__main__":
    main()

"""``python -m train.validate --config FILE.toml``: bits per byte on validation text, with a unigram baseline.

The baseline predicts each token by its frequency in training. A model that is not better is broken; the
difference is what it has learned from context. ``torchrun`` divides the work among processes.
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
from core.run_paths import data_folder, run_folder
from core.shards import Shards, SplitName, check_tokenizer
from core.tokenizer import Tokenizer
from model.loading import load_latest_checkpoint
from train import losses, parallel, validation
from train.data.batch import IGNORE_INDEX
from train.data.dataset import ShardDataset, read_rows
from train.data.permutation import Int64Array
from train.data.stream import RowIndices
from train.losses import LossSums
from train.parallel import World
from train.validation import ValidationSample

CHUNK_ROWS = 1024
"""Rows counted at a time."""
FILE = "validation.json"
Line = tuple[str, int, float, float, float]
COLUMNS = ("bytes", "loss", "bits_per_byte", "unigram_bits_per_byte")


def main() -> None:
    """Run the command line."""
    description = "Compare a trained model with a unigram baseline on the validation shards."
    check = configuration.required("output.path")
    parallel.run(lambda: configuration.from_command_line(description, sys.argv[1:], check), compare)


def compare(config: Config, world: World) -> None:
    """Evaluate both on all validation rows; print a table and write ``validation.json`` to the run's folder.

    If that file already has the results for this model and these shards, only print them.
    """
    model, tokenizer, checkpoint = load_latest_checkpoint(config, world.device)
    shards = Shards.open(storage.join(data_folder(config), "shards"))
    check_tokenizer(shards, tokenizer)
    path = storage.join(run_folder(config), FILE)
    identity = {
        "step": checkpoint.counts["step"],
        "model_sha256": checkpoint.sha256(),
        "shards_sha256": shards.manifest.sha256(),
    }
    lines = world.broadcast_from_rank_zero(lambda: _earlier_results(path, identity))
    if lines and world.is_rank_zero:
        print("validate: already done")
    if not lines:
        sample = _all_rows(shards)
        results = validation.validate(
            model,
            ShardDataset(shards),
            losses.byte_lengths(tokenizer, world.device),
            sample,
            config.train.micro_batch_size,
            world,
        )
        if world.is_rank_zero:
            lines = _lines(results, unigram(shards, tokenizer, sample))
            sources = {line[0]: dict(zip(COLUMNS, line[1:], strict=True)) for line in lines}
            storage.write_atomic(path, json.dumps(identity | {"sources": sources}, indent=2).encode() + b"\n")
    if world.is_rank_zero:
        print(table(lines))


def _all_rows(shards: Shards) -> ValidationSample:
    """Return all validation rows. Raises :class:`InputError` if there are none."""
    rows = sum(shards.rows("validation", source) for source in shards.sources)
    if not rows:
        raise InputError(f"{shards.folder}: no validation rows; pack with a larger pack.validation_share")
    return validation.sample_rows(ShardDataset(shards), rows)


def _earlier_results(path: str, identity: Mapping[str, object]) -> list[Line]:
    """Return the lines of an earlier report on the same model and shards; empty if there is none."""
    report = json.loads(storage.read_bytes(path)) if storage.exists(path) else {}
    if {key: report.get(key) for key in identity} != identity:
        return []
    return [(source, *(row[column] for column in COLUMNS)) for source, row in report["sources"].items()]


def unigram(shards: Shards, tokenizer: Tokenizer, sample: ValidationSample) -> dict[str, LossSums]:
    """Return the sums by source of a unigram model: add-one-smoothed training frequencies."""
    counts = np.ones(shards.facts.vocabulary_size)
    for source in shards.sources:
        count = shards.rows("train", source)
        for first in range(0, count, CHUNK_ROWS):
            indices = np.arange(first, min(first + CHUNK_ROWS, count))
            counts += _target_counts(shards, "train", source, indices)
    nats = -np.log(counts / counts.sum())
    sums = {}
    for number, source in enumerate(sample.sources):
        indices = sample.rows.indices[sample.rows.sources == number]
        targets = _target_counts(shards, "validation", source, indices)
        text_bytes = targets @ tokenizer.byte_lengths()
        sums[source] = LossSums(float(targets @ nats), float(targets.sum()), float(text_bytes))
    return sums


def _target_counts(
    shards: Shards, split: SplitName, source: str, indices: Int64Array
) -> npt.NDArray[np.float64]:
    """Return the number of times that each token is a target in the rows, float64 ``[vocabulary]``."""
    rows = RowIndices(np.zeros_like(indices), indices)
    targets = read_rows(ShardDataset(shards), split, [source], rows).batch().targets
    learned = targets[targets != IGNORE_INDEX].numpy()
    return np.bincount(learned, minlength=shards.facts.vocabulary_size).astype(np.float64)


def _lines(results: dict[str, LossSums], baseline: dict[str, LossSums]) -> list[Line]:
    named = [*((source, results[source], baseline[source]) for source in sorted(results))]
    named.append(("all", losses.total(results), losses.total(baseline)))
    return [
        (name, round(sums.bytes), sums.loss, sums.bits_per_byte, unigram_sums.bits_per_byte)
        for name, sums, unigram_sums in named
    ]


def table(lines: list[Line]) -> str:
    """Format the lines as a table."""
    head = f"{'source':<16}{'bytes':>12}{'loss':>9}{'bits/byte':>11}{'unigram':>9}"
    rows = [
        f"{name:<16}{size:>12,}{loss:>9.3f}{bits:>11.3f}{plain:>9.3f}"
        for name, size, loss, bits, plain in lines
    ]
    return "\n".join([head, *rows])


if __name__ == "__main__":
    main()

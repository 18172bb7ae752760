"""Speed of the trainer beside a plain PyTorch loop with the same model, batches and optimizer.

``python benchmarks/training.py RUN [--sizes demo 30m] [--processes 1 2]`` packs texts of a run's documents
and trains on them. In every round, two programs take turns, each with one or two processes on two cores:

- *ours*: ``torchrun -m train`` as it is, with metrics, losses by source, hashes of batches and threads that
  read ahead; checkpoints and validation come after the measured steps;
- *plain*: forward, backward, clipping and AdamW over batches that are tensors in memory already, and the
  loss of each step as a number; with two processes, the blocks are sharded by FSDP2 too.

Tokens per second from the fifth step to the last but one, medians of all rounds. *Data wait* is the share of
our time in which a step waits for its batch. Writes ``benchmarks/results/training.md``.
"""

import argparse
import json
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.distributed.fsdp import fully_shard

from benchmarks.dedup_documents import run_command
from benchmarks.packed_run import encode, read_batches, write_data
from benchmarks.tokenizer import read
from core import config, errors
from core.config import Config, TokenizerConfig
from core.shards import SplitName
from core.shards.packing import Document
from core.tokenizer import train as train_tokenizer
from model.transformer import Transformer
from train import loop, parallel, training_run
from train.data.batch import IGNORE_INDEX
from train.loop import StepInput, Trainer
from train.optim import build_optimizer, learning_rate
from train.parallel import World, initialize

RESULTS = Path(__file__).parent / "results" / "training.md"
FIRST_STEP = 5
"""Measured from this step on."""
VALIDATION_TEXTS = 20
LIMIT = 1800


class Size(NamedTuple):
    """A model, its shards and its batches."""

    vocabulary: int
    length: int
    shape: Mapping[str, int]
    train: Mapping[str, int]


SIZES = {
    "demo": Size(
        4096,
        256,
        {"num_layers": 4, "hidden_size": 192, "num_heads": 6, "num_kv_heads": 3},
        {"steps": 60, "batch_size": 16, "micro_batch_size": 8},
    ),
    "30m": Size(
        16_384,
        256,
        {"num_layers": 10, "hidden_size": 448, "num_heads": 7, "num_kv_heads": 7},
        {"steps": 20, "batch_size": 8, "micro_batch_size": 4},
    ),
}
"""``demo`` is the model of ``configs/demo.toml``."""


class TimedTrainer(Trainer):
    """A trainer that records when each step begins."""

    starts: ClassVar[list[float]] = []

    def _train_step(self, inputs: Iterator[StepInput]) -> dict[str, Any]:
        self.starts.append(time.perf_counter())
        return super()._train_step(inputs)


def train_ours(settings: Config, world: World) -> list[float]:
    """Train as users do; return when each step began."""
    loop.Trainer = TimedTrainer  # type: ignore[misc]  # the trainer that records times
    loop.train(settings, world)
    return TimedTrainer.starts


def train_plain(settings: Config, world: World) -> list[float]:
    """Train with a plain loop; return when each step began."""
    shards = training_run.open_shards(settings)
    run = training_run.prepare(settings, shards, ())
    batches = list(read_batches(run, world))
    model = Transformer(run.model_config)
    initialize(model, run.initial_weight)
    if world.size > 1:
        for layer in (*model.blocks, model):
            fully_shard(layer, mesh=world.mesh)
    optimizer = build_optimizer(model, run.config)
    vocabulary, starts = run.model_config.vocabulary_size, []
    for step, micro_batches in enumerate(batches, 1):
        starts.append(time.perf_counter())
        count = torch.tensor(sum(int((targets != IGNORE_INDEX).sum()) for *_, targets in micro_batches))
        dist.all_reduce(count)
        total = torch.zeros(())
        for inputs, document_ids, targets in micro_batches:
            logits = model(inputs, document_ids).view(-1, vocabulary)
            loss = F.cross_entropy(logits, targets.view(-1), ignore_index=IGNORE_INDEX, reduction="sum")
            torch.autograd.backward(loss * (world.size / count))
            total += loss.detach()
        dist.all_reduce(total)
        float(total / count)
        torch.nn.utils.clip_grad_norm_(model.parameters(), run.config.clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(run.config, step)
        optimizer.step()
        optimizer.zero_grad()
    return starts


def work(name: str, folder: Path) -> None:
    """Train as one of the contestants, started by ``torchrun``, and write when each step began."""

    def train(settings: Config, world: World) -> None:
        starts = (train_ours if name == "ours" else train_plain)(settings, world)
        if world.is_rank_zero:
            Path(folder, "starts.json").write_text(json.dumps(starts))

    parallel.run(lambda: config.load(str(folder / "config.toml")), train)


def measure(name: str, folder: Path, processes: int, size: Size) -> tuple[float, float]:
    """Run a contestant; return its tokens per second, and the share of time it waited for data."""
    shutil.rmtree(folder / "training", ignore_errors=True)
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *torchrun, "-m", "benchmarks.training", str(folder), "--contestant", name]
    run_command(command, limit=LIMIT, folder=folder)
    starts = json.loads((folder / "starts.json").read_text())
    seconds = starts[-1] - starts[FIRST_STEP - 1]
    tokens = (len(starts) - FIRST_STEP) * size.train["batch_size"] * size.length
    metrics = folder / "training" / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()] if metrics.exists() else []
    waits = [line["perf/data_wait"] for line in lines[FIRST_STEP - 1 : -1]]
    return tokens / seconds, sum(waits) / seconds


def write_run(folder: Path, texts: Sequence[str], size: Size) -> int:
    """Write a tokenizer, shards and a configuration; return the number of the model's parameters."""
    tokenizer = train_tokenizer(texts, TokenizerConfig(vocabulary_size=size.vocabulary))
    parts: dict[SplitName, Sequence[Document]] = {
        "train": encode(tokenizer, texts[VALIDATION_TEXTS:]),
        "validation": encode(tokenizer, texts[:VALIDATION_TEXTS]),
    }
    write_data(folder, tokenizer, size.length, parts)
    # Validation and the checkpoint come with the last step, which is not measured.
    never = {"validate_every": 10_000, "checkpoint_every": 10_000, "validation_sequences": 8}
    sections = {"model": size.shape, "train": {**size.train, **never}}
    lines = [f"[output]\npath = {json.dumps(str(folder))}"]
    for name, values in sections.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in values.items())]
    (folder / "config.toml").write_text("\n".join(lines) + "\n")
    settings = config.load(str(folder / "config.toml"))
    run = training_run.prepare(settings, training_run.open_shards(settings), ())
    return run.model_config.num_parameters


def table(options: argparse.Namespace, texts: Sequence[str]) -> Iterator[str]:
    """Measure all sizes and numbers of processes; yield the lines of the table."""
    for name in options.sizes:
        size = SIZES[name]
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            parameters = write_run(folder, texts, size)
            for processes in options.processes:
                found: dict[str, list[tuple[float, float]]] = defaultdict(list)
                for number in range(options.rounds):
                    for contestant in ("ours", "plain"):
                        print(f"{name}, {processes}, round {number + 1}: {contestant}", file=sys.stderr)
                        found[contestant].append(measure(contestant, folder, processes, size))
                ours, plain = (statistics.median(rate for rate, _ in found[each]) for each in found)
                ratios = sorted(one[0] / two[0] for one, two in zip(*found.values(), strict=True))
                wait = statistics.median(wait for _, wait in found["ours"])
                yield (
                    f"| {name}, {parameters / 1e6:.1f} M | {processes} | {ours:,.0f} | {plain:,.0f} "
                    f"| {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}) | {wait:.2%} |"
                )


def main(arguments: Sequence[str]) -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of a run with documents")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=1500, help="number of documents to train on")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.contestant:
        work(options.contestant, options.run)
        return
    lines = [
        "# Speed of the trainer",
        "",
        f"`python benchmarks/training.py`, {date.today()}, two cores, medians of {options.rounds} rounds, "
        f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}. Batches and "
        "models as in the script; ratios are of the two programs of a round.",
        "",
        "| model | processes | ours, tokens/s | plain loop, tokens/s | ratio | data wait |",
        "|---|--:|--:|--:|--:|--:|",
        *table(options, read(str(options.run))[: options.texts]),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    options.output.write_text(text)


if __name__ == "__main__":
    errors.run(main)

"""Training: the same few lines for every step, from wherever the last checkpoint stands."""

import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import torch

from core import storage
from core.config import Config
from model.formats.checkpoint import find_latest
from train import checkpoint, setup, validation
from train.batch import Batch, batch_hash, target_losses
from train.metrics import Metrics, Progress, peak_flops
from train.optim import build_optimizer, learning_rate, update
from train.parallel import World, fill, make_repeatable, shard
from train.rows import read_rows
from train.setup import Setup
from train.stream import batch_positions


def train(config: Config, world: World) -> None:
    """Train the model that ``config`` describes; resume, if an earlier attempt left a checkpoint."""
    setup.check_world("train", config.train, world)
    shards = setup.open_shards(config)
    run = setup.prepare(config, shards)
    setup.verify_shards(shards, world)
    if world.from_leader(lambda: setup.claim(run, config.output.overwrite)):
        return
    make_repeatable()
    Trainer(run, world).run()
    if world.leads:
        setup.publish(run)


class Trainer:
    """A run in one of its processes: the sharded model, its optimizer, and the step it has come to."""

    def __init__(self, run: Setup, world: World) -> None:
        self.setup, self.world, self.train = run, world, run.train
        self.model = shard(
            run.model,
            world,
            setup.precision(run.train, world.device),
            adapt=run.adapt,
            compile_blocks=self.train.compile,
            recompute=self.train.activation_checkpointing,
        )
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.partly = len(trained) < len(list(self.model.parameters()))
        """Whether some weights are frozen."""
        self.optimizer = build_optimizer(trained, self.train)
        self.checkpoints = storage.join(run.folder, "checkpoints")
        self.sample = validation.sample(run.rows, self.train.validation_sequences)
        self.peak = peak_flops(world.device)
        self.step = self._resume()

    def run(self) -> None:
        """All steps that are left."""
        with ExitStack() as opened:
            metrics = None
            if self.world.leads:
                metrics = opened.enter_context(closing(Metrics(self.setup.folder, self.step)))
            self._steps(opened.enter_context(ThreadPoolExecutor(1)), metrics)
            if metrics:
                metrics.publish()

    def _steps(self, reader: Executor, metrics: Metrics | None) -> None:
        """Take the steps, while ``reader`` fetches the next one's rows."""
        progress = Progress(self.setup.stage, self.step + 1, self.train.steps)
        upcoming = reader.submit(self._read, self.step + 1)
        while self.step < self.train.steps:
            self.step += 1
            current, upcoming = upcoming, reader.submit(self._read, self.step + 1)
            values = self._advance(current)
            if metrics:
                metrics.write(self.step, values)
                progress.tell(self.step, values)
            if self.step % self.train.checkpoint_every == 0 or self.step == self.train.steps:
                self._save(metrics)

    def _resume(self) -> int:
        """Set the weights: from the latest checkpoint, or fresh. Returns the steps already taken."""
        self.world.from_leader(
            lambda: checkpoint.remove_others(self.checkpoints, self.train.keep_checkpoints)
        )
        found = find_latest(self.checkpoints)
        if not found or self.partly:  # a checkpoint holds only what is trained
            fill(self.model, self.setup.weights)
        torch.manual_seed(self.train.seed + self.world.rank)
        if not found:
            return 0
        step = checkpoint.restore(*found, self.model, self.optimizer, self.world)
        if self.world.leads:
            print(f"{self.setup.stage}: resuming after step {step}", flush=True)
        return step

    def _read(self, step: int) -> tuple[Batch, int]:
        """This process's part of a step's batch, and its hash."""
        positions = batch_positions(step, self.train.batch_size, self.world.rank, self.world.size)
        rows = self.setup.stream.locate(positions)
        batch, tokens = read_rows(
            self.setup.rows, "train", self.setup.stream.sources, rows.sources, rows.rows
        )
        return batch, batch_hash(tokens, positions)

    def _advance(self, upcoming: Future[tuple[Batch, int]]) -> dict[str, Any]:
        """One step: learn from a batch, now and then validate. Returns the step's metrics."""
        begun = time.monotonic()
        batch, part = upcoming.result()
        waited = time.monotonic() - begun
        targets, whole = self.world.sum_integers([batch.count, part])
        loss = self._backward(batch, targets)
        norm = update(self.optimizer, self.train, self.step, loss)
        rate = self.train.batch_size * self.setup.rows.sequence_length / (time.monotonic() - begun)
        values: dict[str, Any] = {
            "train/loss": loss,
            "train/lr": learning_rate(self.train, self.step),
            "train/grad_norm": norm,
            "data/batch_hash": f"{whole % (1 << 64):016x}",
            "perf/tok_per_sec": rate,
            "perf/data_wait": waited,
        }
        if self.peak:
            flops = self.setup.model.training_flops(self.setup.rows.sequence_length)
            values["perf/mfu"] = rate * flops / (self.peak * self.world.size)
        if self.step % self.train.validate_every == 0 or self.step == self.train.steps:
            values |= self._validate()
        return values

    def _backward(self, batch: Batch, targets: int) -> float:
        """Add up the gradients of the mean loss over the ``targets`` of all processes; that loss."""
        nats = 0.0
        for piece in batch.to(self.world.device).split(self.train.micro_batch_size):
            loss = target_losses(self.model, piece).sum()
            # FSDP averages gradients over the processes; the mean over all targets is wanted instead.
            torch.autograd.backward(loss * (self.world.size / max(targets, 1)))
            nats += float(loss.detach())
        return self.world.sum([nats])[0] / max(targets, 1)

    def _validate(self) -> dict[str, float]:
        rows, tokenizer = self.setup.rows, self.setup.tokenizer
        size = self.train.micro_batch_size
        self.model.eval()
        sums = validation.validate(self.model, rows, tokenizer, self.sample, size, self.world)
        self.model.train()
        return validation.metrics(sums) if sums else {}

    def _save(self, metrics: Metrics | None) -> None:
        """Publish what was told so far, then the state: a resumed run cuts off what was told after that."""
        if metrics:
            metrics.publish()
        pins, fingerprint = self.setup.pins, self.setup.fingerprint
        checkpoint.save(
            self.checkpoints, self.step, self.model, self.optimizer, pins, fingerprint, self.world
        )
        if self.world.leads:
            checkpoint.remove_others(self.checkpoints, self.train.keep_checkpoints)

"""The training loop, shared by pre-training and fine-tuning."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import torch

from core import storage
from core.config import Config
from model.formats.checkpoint import find_latest
from train import checkpoint, training_run, validation
from train.data.batch import Batch, batch_hash, token_losses
from train.data.dataset import read_batch
from train.data.stream import batch_positions
from train.metrics import MetricsWriter, ProgressLine, peak_flops
from train.optim import build_optimizer, learning_rate, optimizer_step
from train.parallel import World, build_sharded_model, enable_determinism, initialize
from train.training_run import TrainingRun


def train(config: Config, world: World) -> None:
    """Pre-train the model in ``config``, resuming from the last checkpoint if there is one."""
    training_run.check_batch_size("train", config.train, world)
    shards = training_run.open_shards(config)
    run = training_run.prepare(config, shards)
    training_run.verify_shards(shards, world)
    if world.broadcast_from_rank_zero(lambda: training_run.begin(run, config.output.overwrite)):
        return
    enable_determinism()
    Trainer(run, world).train()
    if world.is_rank_zero:
        training_run.publish(run)


class Trainer:
    """One process of a training run: its shard of the model, the optimizer, and the current step."""

    def __init__(self, run: TrainingRun, world: World) -> None:
        self.run, self.world, self.config = run, world, run.config
        self.model = build_sharded_model(
            run.model_config,
            world,
            training_run.resolve_precision(run.config, world.device),
            adapt=run.adapt,
            compile_blocks=self.config.compile,
            activation_checkpointing=self.config.activation_checkpointing,
        )
        trainable = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.has_frozen_weights = len(trainable) < len(list(self.model.parameters()))
        self.optimizer = build_optimizer(trainable, self.config)
        self.checkpoints = storage.join(run.folder, "checkpoints")
        self.validation_sample = validation.sample_rows(run.dataset, self.config.validation_sequences)
        self.peak_flops = peak_flops(world.device)
        self.step = self._resume()
        """Number of completed steps."""

    def train(self) -> None:
        """Take all remaining steps."""
        with ExitStack() as stack:
            metrics = None
            if self.world.is_rank_zero:
                metrics = stack.enter_context(closing(MetricsWriter(self.run.folder, self.step)))
            self._train_steps(stack.enter_context(ThreadPoolExecutor(1)), metrics)
            if metrics:
                metrics.publish()

    def _train_steps(self, loader: Executor, metrics: MetricsWriter | None) -> None:
        """Take all remaining steps."""
        progress = ProgressLine(self.run.stage, self.step + 1, self.config.steps)
        for batch in self._batches(loader):
            self.step += 1
            values = self._train_step(batch)
            if metrics:
                metrics.write(self.step, values)
                progress.update(self.step, values)
            if self.step % self.config.checkpoint_every == 0 or self.step == self.config.steps:
                self._save_checkpoint(metrics)

    def _batches(self, loader: Executor) -> Iterator[Future[tuple[Batch, int]]]:
        """Yield the batches of all remaining steps, while ``loader`` reads those after it."""
        ahead: deque[Future[tuple[Batch, int]]] = deque()
        for step in range(self.step + 1, self.config.steps + 1):
            ahead.append(loader.submit(self._read_batch, step))
            if len(ahead) > self.config.read_ahead:
                yield ahead.popleft()
        while ahead:
            yield ahead.popleft()

    def _resume(self) -> int:
        """Load the latest checkpoint or initialize the weights; return the number of completed steps."""
        self.world.broadcast_from_rank_zero(
            lambda: checkpoint.remove_old(self.checkpoints, self.config.keep_checkpoints)
        )
        found = find_latest(self.checkpoints)
        if not found or self.has_frozen_weights:  # checkpoints omit frozen weights
            initialize(self.model, self.run.initial_weight)
        torch.manual_seed(self.config.seed + self.world.rank)
        if not found:
            return 0
        step = checkpoint.restore(*found, self.model, self.optimizer, self.world)
        if self.world.is_rank_zero:
            print(f"{self.run.stage}: resuming after step {step}", flush=True)
        return step

    def _read_batch(self, step: int) -> tuple[Batch, int]:
        """Return this process's part of a batch, and its hash."""
        positions = batch_positions(step, self.config.batch_size, self.world.rank, self.world.size)
        rows = self.run.stream.locate(positions)
        batch = read_batch(self.run.dataset, "train", self.run.stream.sources, rows)
        return batch, batch_hash(batch.tokens.numpy(), positions)

    def _train_step(self, pending_batch: Future[tuple[Batch, int]]) -> dict[str, Any]:
        """Take one step, and validate if due; return the step's metrics."""
        start = time.monotonic()
        batch, local_hash = pending_batch.result()
        data_wait = time.monotonic() - start
        num_targets, global_hash = self.world.sum_integers([batch.num_targets, local_hash])
        loss = self._forward_backward(batch, num_targets)
        grad_norm = optimizer_step(self.optimizer, self.config, self.step, loss)
        sequence_length = self.run.dataset.sequence_length
        tokens_per_second = self.config.batch_size * sequence_length / (time.monotonic() - start)
        values: dict[str, Any] = {
            "train/loss": loss,
            "train/lr": learning_rate(self.config, self.step),
            "train/grad_norm": grad_norm,
            "data/batch_hash": f"{global_hash % (1 << 64):016x}",
            "perf/tok_per_sec": tokens_per_second,
            "perf/data_wait": data_wait,
        }
        if self.peak_flops:
            flops = self.run.model_config.training_flops(sequence_length)
            values["perf/mfu"] = tokens_per_second * flops / (self.peak_flops * self.world.size)
        if self.step % self.config.validate_every == 0 or self.step == self.config.steps:
            values |= self._validate()
        return values

    def _forward_backward(self, batch: Batch, num_targets: int) -> float:
        """Accumulate the gradients of the mean loss over all ``num_targets`` targets; return that loss."""
        nats = 0.0
        for micro_batch in batch.to(self.world.device).split(self.config.micro_batch_size):
            loss = token_losses(self.model, micro_batch).sum()
            # FSDP averages gradients over processes; the factor turns that into the mean over all targets.
            torch.autograd.backward(loss * (self.world.size / max(num_targets, 1)))
            nats += float(loss.detach())
        return self.world.sum([nats])[0] / max(num_targets, 1)

    def _validate(self) -> dict[str, float]:
        self.model.eval()
        sums = validation.validate(
            self.model,
            self.run.dataset,
            self.run.tokenizer,
            self.validation_sample,
            self.config.micro_batch_size,
            self.world,
        )
        self.model.train()
        return validation.metrics(sums) if sums else {}

    def _save_checkpoint(self, metrics: MetricsWriter | None) -> None:
        """Publish the metrics, then the checkpoint; a resumed run removes later metrics."""
        if metrics:
            metrics.publish()
        checkpoint.save(
            self.checkpoints,
            self.step,
            self.model,
            self.optimizer,
            self.run.identity,
            self.run.fingerprint,
            self.world,
        )
        if self.world.is_rank_zero:
            checkpoint.remove_old(self.checkpoints, self.config.keep_checkpoints)

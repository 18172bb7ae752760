"""The training loop, shared by pre-training and fine-tuning."""

import signal
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from core.config import Config
from core.manifest import Manifest
from model.formats.checkpoint import find_latest
from train import (
    certificate,
    checkpoint,
    guard,
    losses,
    run_folder,
    samples,
    training_run,
    validation,
)
from train.certificate import Outcome
from train.checkpoint import CheckpointWriter
from train.data.batch import Batch, batch_hash, hash_text
from train.data.dataset import read_stream
from train.data.permutation import Int64Array
from train.data.read_ahead import ReadAhead
from train.devices import peak_flops
from train.guard import Guard
from train.losses import LossSums
from train.optim import build_optimizer, gradient_norm, learning_rate, optimizer_step, warmup_steps
from train.parallel import World, build_sharded_model, enable_determinism, initialize, reduce_after_backward
from train.reporting import summary
from train.reporting.metrics import SKIPPED
from train.reporting.reporter import Reporter
from train.samples import SAMPLES
from train.signals import StopRequest
from train.training_run import TrainingRun


def train(config: Config, world: World) -> None:
    """Pre-train the model in ``config``, resuming from the last checkpoint if there is one."""
    training_run.check_processes("train", config.train, world.size, "--nproc-per-node")
    shards = training_run.open_shards(config)
    edits = world.broadcast_from_rank_zero(lambda: training_run.find_edits(config, shards))
    run = training_run.prepare(config, shards, edits)
    training_run.verify_shards(shards, world)
    with run_folder.claim(run, config.output.overwrite, world) as is_complete:
        if is_complete:
            return
        if world.is_rank_zero:
            print(training_run.describe_order(run), flush=True)
        enable_determinism()
        trainer = Trainer(run, world)
        if trainer.train() and world.is_rank_zero:
            run_folder.publish(run, trainer.tokens_seen)


class StepInput(NamedTuple):
    """Batch of one process for one step, its hash and its number of tokens."""

    batch: Batch
    sources: Tensor
    """int64 ``[B]``: source of each row, an index of the stream's sources."""
    hash: int
    """Hash of the rows and their positions."""
    num_tokens: Int64Array
    """int64 ``[sources]``: number of tokens without padding."""


class Gradients(NamedTuple):
    """Losses of a step whose gradients are accumulated in the model."""

    rows: Tensor
    """Nats, targets and bytes of each row of this process, float64 ``[B, 3]``."""
    sums: dict[str, LossSums]
    """Sums over the rows of all processes by source."""
    norm: Tensor
    """Norm of all gradients, a scalar."""


class Trainer:
    """One process of a training run: its shard of the model, the optimizer, and the current step."""

    def __init__(self, run: TrainingRun, world: World) -> None:
        self.run, self.world = run, world
        if world.is_rank_zero:
            summary.announce(run, world)
        self.config = run.config.model_copy(update={"warmup_steps": warmup_steps(run.config)})
        self.model = build_sharded_model(
            run.model_config,
            world,
            training_run.resolve_precision(run.config, world.device),
            adapt=run.adapt,
            compile_blocks=self.config.compile,
            activation_checkpointing=self.config.activation_checkpointing,
            shard_processes=self.config.shard_processes,
        )
        self.holds_model = (self.config.shard_processes or world.size) == 1
        """True if each process has all weights."""
        self.has_frozen_weights = not all(weight.requires_grad for weight in self.model.parameters())
        self.optimizer = build_optimizer(self.model, self.config)
        self.validation_sample = validation.sample_rows(run.dataset, self.config.validation_sequences)
        self.byte_lengths = losses.byte_lengths(run.tokenizer, world.device)
        self.peak_flops = peak_flops(world.device)
        self.tokens_seen = dict.fromkeys(run.stream.sources, 0)
        """Number of tokens without padding in all completed steps, by source."""
        self.guard = Guard(self.config)
        self.environment = certificate.environment(self.config, world)
        self.resumed: tuple[str, Manifest] | None = None
        """Path and manifest of the checkpoint whose certificate the next step must agree with."""
        self.step = self._resume()
        """Number of completed steps."""
        self.checkpoints = CheckpointWriter(run.checkpoints, run.fingerprint, world, self._remove_old)
        self.stop = StopRequest()
        self.is_stopping = self.is_interrupted = False
        """True if a process was asked to stop, and if by Ctrl-C."""

    def train(self) -> bool:
        """Take all remaining steps, or stop after one with a checkpoint; return True if all were taken.

        Raises :class:`KeyboardInterrupt` if it was Ctrl-C that asked to stop.
        """
        with ExitStack() as stack:
            stack.enter_context(self.stop)
            stack.enter_context(self.checkpoints)
            metrics = None
            if self.world.is_rank_zero:
                metrics = stack.enter_context(closing(Reporter(self.run, self.world.device, self.step)))
            remaining = range(self.step + 1, self.config.steps + 1)
            self._train_steps(stack.enter_context(closing(self._inputs(remaining))), metrics)
            self._certify_last_checkpoint()
            self.checkpoints.wait()
            if metrics:
                metrics.publish()
                print(f"{self.run.stage}: {_summary(self.tokens_seen)}", flush=True)
        is_complete = self.step == self.config.steps
        if not is_complete and self.world.is_rank_zero:
            print(f"{self.run.stage}: stopped after step {self.step}; run it again to go on", flush=True)
        if not is_complete and self.is_interrupted:
            raise KeyboardInterrupt
        return is_complete

    def _train_steps(self, inputs: Iterator[StepInput], metrics: Reporter | None) -> None:
        """Take all remaining steps, until a process is asked to stop."""
        while self.step < self.config.steps and not self.is_stopping:
            self.step += 1
            if metrics:
                metrics.begin(self.step)
            values = self._train_step(inputs)
            if metrics:
                metrics.write(self.step, values)
            if SKIPPED in values:
                if metrics:
                    metrics.publish()
                self.guard.require_progress(self.step, values[SKIPPED])
            if self._checkpoint_is_due:
                self._save_checkpoint(metrics)

    def _inputs(self, steps: range) -> Generator[StepInput]:
        """Yield the inputs of all ``steps``, while threads read those after them."""
        for phase, rows in self.run.batch_sizes.phases(steps):
            read_ahead = ReadAhead.of(
                rows // self.world.size,
                self.run.dataset.sequence_length,
                self.config.read_ahead,
                self.run.stream.window_rows / rows,
            )
            yield from read_ahead.read(self._read_inputs, phase)

    def _resume(self) -> int:
        """Load the latest checkpoint or initialize the weights; return the number of completed steps."""
        self.world.broadcast_from_rank_zero(self._remove_old)
        found = find_latest(self.run.checkpoints)
        if self.world.is_rank_zero:
            guard.remove_records(self.run, found[1].counts["step"] if found else 0)
        if not found or self.has_frozen_weights:  # checkpoints omit frozen weights
            initialize(self.model, self.run.initial_weight)
        if not found:
            if start := self.run.initial_checkpoint:
                checkpoint.inherit(*start, self.model, self.optimizer, self.world)
            return 0
        step = checkpoint.restore(*found, self.model, self.optimizer, self.world)
        self.tokens_seen = dict(found[1].facts["tokens_seen"])
        self.guard = Guard(self.config, found[1].facts["guard"])
        # The warm-up does not begin again if the run now has more steps.
        self.config = self.config.model_copy(update={"warmup_steps": found[1].facts["warmup_steps"]})
        self.resumed = found if found[1].facts.get(certificate.FACT) else None
        if self.world.is_rank_zero:
            without = "" if self.resumed else ", without a certificate"
            print(f"{self.run.stage}: resuming after step {step}{without}", flush=True)
        return step

    def _positions(self, step: int) -> Int64Array:
        """Return the positions of this process's rows in a step, int64 ``[n]``."""
        return self.run.batch_sizes.positions(step, self.world.rank, self.world.size)

    def _read_inputs(self, steps: range) -> list[StepInput]:
        """Return this process's parts of the batches of some steps."""
        positions = [self._positions(step) for step in steps]
        parts = zip(positions, read_stream(self.run.dataset, self.run.stream, positions), strict=True)
        num_sources = len(self.run.stream.sources)
        return [
            StepInput(
                rows.batch(),
                torch.from_numpy(sources),
                batch_hash(rows.tokens, place),
                rows.num_tokens(sources, num_sources),
            )
            for place, (rows, sources) in parts
        ]

    def _train_step(self, inputs: Iterator[StepInput]) -> dict[str, Any]:
        """Take one step, and validate if due; return the step's metrics."""
        start = time.monotonic()
        read = next(inputs)
        data_wait = time.monotonic() - start
        asked, by_interrupt = self.stop.signal > 0, self.stop.signal == signal.SIGINT
        failed = self.checkpoints.has_failed
        num_targets, global_hash, stops, interrupts, failures, *tokens = self.world.sum_integers(
            [read.batch.num_targets, read.hash, asked, by_interrupt, failed, *read.num_tokens.tolist()]
        )
        if failures:
            self.checkpoints.wait()
        self.is_stopping, self.is_interrupted = stops > 0, interrupts > 0
        for source, number in zip(self.run.stream.sources, tokens, strict=True):
            self.tokens_seen[source] += number
        gradients = self._compute_gradients(self.step, read, num_targets)
        self._certify(self.step, global_hash, gradients)
        # Edits can leave a step without targets. It has no loss, and the weights stay as they are.
        values: dict[str, Any] = self._learn(gradients) if gradients else {}
        sequence_length = self.run.dataset.sequence_length
        step_tokens = self.run.batch_sizes.size(self.step) * sequence_length
        tokens_per_second = step_tokens / (time.monotonic() - start)
        values |= {
            "train/lr": learning_rate(self.config, self.step),
            "data/batch_hash": hash_text(global_hash),
            "perf/tok_per_sec": tokens_per_second,
            "perf/data_wait": data_wait,
        }
        if self.peak_flops:
            flops = self.run.model_config.training_flops(sequence_length)
            values["perf/mfu"] = tokens_per_second * flops / (self.peak_flops * self.world.size)
        if self._checkpoint_is_due:
            values |= {f"data/tokens_seen/{source}": count for source, count in self.tokens_seen.items()}
        if self.step % self.config.validate_every == 0 or self.step == self.config.steps:
            values |= self._validate()
        return values

    @property
    def _checkpoint_is_due(self) -> bool:
        """True if a checkpoint is written after the current step."""
        is_last = self.is_stopping or self.step == self.config.steps
        return is_last or self.step % self.config.checkpoint_every == 0

    def _compute_gradients(self, step: int, read: StepInput, num_targets: int) -> Gradients | None:
        """Accumulate the gradients of the mean loss over all ``num_targets`` targets, if there are any."""
        if not num_targets:
            return None
        torch.manual_seed(self._random_seed(step))
        rows = self._forward_backward(read, num_targets)
        return Gradients(rows, self._sum_by_source(rows, read.sources), gradient_norm(self.optimizer))

    def _certify(self, step: int, batch_hash: int, gradients: Gradients | None) -> None:
        """Record a step in the checkpoint that is being written, and compare it with the one resumed from."""
        values = (losses.total(gradients.sums).loss, float(gradients.norm)) if gradients else ()
        outcome = Outcome.of(step, hash_text(batch_hash), *values)
        self.checkpoints.certify(certificate.record(outcome, self.environment))
        if self.resumed:
            (path, found), self.resumed = self.resumed, None
            agreement = certificate.check(
                path,
                found.facts[certificate.FACT],
                outcome,
                self.environment,
                same_order=found.facts["order_sha256"] == self.run.stream.sha256,
                dropout=certificate.has_dropout(self.model),
            )
            if self.world.is_rank_zero:
                print(f"{self.run.stage}: {agreement}", flush=True)

    def _certify_last_checkpoint(self) -> None:
        """Compute the step after the last one, which is not taken, while the last checkpoint is written."""
        if self.checkpoints.needs_certificate:
            step = self.step + 1
            (read,) = self._read_inputs(range(step, step + 1))
            num_targets, batch_hash = self.world.sum_integers([read.batch.num_targets, read.hash])
            self._certify(step, batch_hash, self._compute_gradients(step, read, num_targets))
            self.optimizer.zero_grad()

    def _learn(self, gradients: Gradients) -> dict[str, Any]:
        """Update the weights, unless the guard says otherwise; return the metrics of the step."""
        norm = float(gradients.norm)
        values: dict[str, Any] = {**losses.metrics("train", gradients.sums), "train/grad_norm": norm}
        if self.run.batch_sizes.changes_at(self.step):
            self.guard.forget()
        reason = self.guard.check(losses.total(gradients.sums).loss, norm)
        if not reason:
            optimizer_step(self.optimizer, self.config, self.step, gradients.norm)
            return values
        self.optimizer.zero_grad()
        self._record_skipped(reason, gradients.rows)
        return values | {SKIPPED: reason}

    def _record_skipped(self, reason: str, rows: Tensor) -> None:
        """Write the rows of the current step, which is skipped, with their losses."""
        positions = self._positions(self.step)
        parts = self.world.all_gather(list(zip(positions.tolist(), rows.tolist(), strict=True)))
        if self.world.is_rank_zero:
            by_position = sorted(row for part in parts for row in part)
            guard.record(self.run, self.step, reason, by_position)

    def _random_seed(self, step: int) -> int:
        """Return the seed of dropout in a step, so that it depends on nothing before it."""
        seeds = np.random.SeedSequence((self.config.seed, self.world.rank, step))
        return int(seeds.generate_state(1, np.uint64)[0] >> 1)

    def _forward_backward(self, read: StepInput, num_targets: int) -> Tensor:
        """Accumulate the gradients of the mean loss over all ``num_targets`` targets.

        Returns nats, targets and bytes of each row of this process, float64 ``[B, 3]`` on the CPU.
        """
        rows = []
        micro_batches = read.batch.to(self.world.device).split(self.config.micro_batch_size)
        for number, micro_batch in enumerate(micro_batches, 1):
            if self.holds_model:
                reduce_after_backward(self.model, is_last=number == len(micro_batches))
            targets = micro_batch.targets
            total, nats = self.model.losses(
                micro_batch.inputs, targets, micro_batch.document_ids, self.config.z_loss
            )
            # FSDP averages gradients over processes; the factor turns that into the mean over all targets.
            torch.autograd.backward(total * (self.world.size / num_targets))
            rows.append(losses.row_sums(nats, targets, self.byte_lengths))
        return torch.cat(rows).cpu()

    def _sum_by_source(self, rows: Tensor, row_sources: Tensor) -> dict[str, LossSums]:
        """Return the sums over the rows of all processes by source."""
        sources = self.run.stream.sources
        sums = losses.sum_by_source(rows, row_sources, len(sources))
        return losses.from_table(sources, self.world.sum(sums.ravel().tolist()))

    def _validate(self) -> dict[str, Any]:
        """Return the losses of the validation sample, and the samples."""
        self.model.eval()
        sums = validation.validate(
            self.model,
            self.run.dataset,
            self.byte_lengths,
            self.validation_sample,
            self.config.micro_batch_size,
            self.world,
        )
        values: dict[str, Any] = losses.metrics("val", sums) if sums else {}
        if self.run.prompts.texts:
            values[SAMPLES] = samples.complete(self.model, self.run.tokenizer, self.run.prompts)
        self.model.train()
        return values

    def _save_checkpoint(self, metrics: Reporter | None) -> None:
        """Publish the metrics, then begin to write the checkpoint; a resumed run removes later metrics."""
        if metrics:
            metrics.publish()
        facts = {
            **self.run.facts(self.tokens_seen),
            "guard": self.guard.state(),
            "warmup_steps": self.config.warmup_steps,
        }
        self.checkpoints.begin(self.step, self.model, self.optimizer, facts)

    def _remove_old(self) -> None:
        keep, keep_every = self.config.keep_checkpoints, self.config.keep_every
        checkpoint.remove_old(self.run.checkpoints, keep, keep_every)


def _summary(tokens_seen: Mapping[str, int]) -> str:
    """Return one line with the number of tokens by source."""
    by_source = " · ".join(f"{count:,} {source}" for source, count in tokens_seen.items())
    return f"tokens seen: {sum(tokens_seen.values()):,} ({by_source})"

"""Resume certificate: a resumed run must continue as the one that wrote the checkpoint.

Checkpoints are written while training goes on, so a checkpoint can record what the step after it gave before
that step changed the weights: the hash of the batch, the loss, and the norm of the gradients. A resumed run
takes that step anyway. It compares after the backward pass, before the guard and the optimizer change
anything, so neither run computes anything more. Only a run that stops or ends computes the step after its
last checkpoint for this purpose, while the checkpoint is being written.

The step after the checkpoint is recorded, not the last one before it, because it depends on what is loaded:
loss and norm on the weights, the hash on the position of the stream. The state of the optimizer does not
enter; it is verified by the hashes of its files, as everything is.

The values must be equal bit by bit in the same :func:`environment`. In another one, which rounds differently,
the loss must agree within :data:`LOSS_TOLERANCE` and the norm within :data:`NORM_TOLERANCE`; if there is
dropout, only the batch is compared. The batch may differ if ``train.edits`` were changed from this step on.
"""

import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.config import TrainConfig
from core.errors import TrainingError
from train.parallel import World

FACT = "certificate"
"""Name among the facts of a checkpoint's manifest."""
LOSS_TOLERANCE, NORM_TOLERANCE = 0.01, 0.1
"""Relative differences that are allowed in another environment."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a step before it changed the weights, equal in all processes."""

    step: int
    batch_hash: str
    loss: float | None = None
    """None if it is not finite, or if the step has no targets."""
    gradient_norm: float | None = None
    """None likewise."""

    @classmethod
    def of(cls, step: int, batch_hash: str, *values: float) -> "Outcome":
        """Return the outcome of a step; ``values``: loss and norm, or nothing for a step without targets."""
        return cls(step, batch_hash, *(value if math.isfinite(value) else None for value in values))


def environment(config: TrainConfig, world: World) -> dict[str, Any]:
    """Return what decides, besides the run's settings, how results are rounded."""
    on_gpu = world.device.type == "cuda"
    return {
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name(world.device) if on_gpu else _processor(),
        "processes": world.size,
        "processes of a host": world.local_size,
        "threads": 0 if on_gpu else torch.get_num_threads(),
        "micro_batch_size": config.micro_batch_size,
        "compile": config.compile,
        "activation_checkpointing": config.activation_checkpointing,
        "shard_processes": config.shard_processes or world.size,
    }


def record(outcome: Outcome, environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return a certificate as plain JSON."""
    return {**asdict(outcome), "environment": dict(environment)}


def check(
    checkpoint: str,
    recorded: Mapping[str, Any],
    outcome: Outcome,
    environment: Mapping[str, Any],
    *,
    same_order: bool,
    dropout: bool,
) -> str:
    """Return a line that says how far a step agrees with the certificate of a checkpoint.

    ``same_order``: False if edits were changed; ``dropout``: from :func:`has_dropout`. Raises
    :class:`TrainingError` if the step does not agree.
    """
    found, step = asdict(outcome), f"step {outcome.step}"
    if found["batch_hash"] != recorded["batch_hash"] and not same_order:
        return f"{step} has another batch than the checkpoint records, since edits were changed"
    tolerances = {"batch_hash": 0.0, "loss": 0.0, "gradient_norm": 0.0}
    changed = [name for name, value in recorded["environment"].items() if environment.get(name) != value]
    if environment["compile"] and not changed:
        changed = ["compile"]  # it measures which of its kernels is fastest
    if changed:
        tolerances |= {"loss": LOSS_TOLERANCE, "gradient_norm": NORM_TOLERANCE}
    if changed and dropout:
        tolerances = {"batch_hash": 0.0}
    for name, tolerance in tolerances.items():
        if not _agree(found[name], recorded[name], tolerance):
            within = f", which allows a difference of {tolerance:.0%}" if tolerance else ""
            raise TrainingError(
                f"{checkpoint}: {step} after it must have {name} {recorded[name]}{within}, but has "
                f"{found[name]}: program, data or machine were changed; restore them, continue from an "
                "earlier checkpoint by writing its name to the file latest, or, if the change is intended, "
                f'remove "{FACT}" from the facts in its manifest.json'
            )
    compared = "batch" if len(tolerances) == 1 else "batch, loss and gradient norm"
    how = f"within tolerance ({', '.join(changed)} differs)" if changed else "bit for bit"
    return f"{step} has the recorded {compared}, {how}"


def has_dropout(model: nn.Module) -> bool:
    """True if steps depend on random numbers."""
    rates = [getattr(module, "dropout", 0.0) for module in model.modules()]
    return any(isinstance(rate, float) and rate > 0 for rate in rates)


def _agree(found: Any, recorded: Any, tolerance: float) -> bool:
    if not tolerance or found is None or recorded is None:
        return bool(found == recorded)
    return math.isclose(found, recorded, rel_tol=tolerance)


def _processor() -> str:
    """Return the kind of CPU, by which math libraries choose their kernels."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return " ".join([*names[:1], torch.backends.cpu.get_cpu_capability()]) or platform.machine()

"""AdamW, its learning rate, and a step that is refused rather than poisoned."""

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from core.config import TrainConfig
from core.errors import TrainingError


def build_optimizer(parameters: Iterable[nn.Parameter], train: TrainConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019); weight decay on matrices, none on norms."""
    matrices: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    for parameter in parameters:
        (matrices if parameter.ndim >= 2 else vectors).append(parameter)
    groups = [
        {"params": matrices, "weight_decay": train.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=train.learning_rate, betas=(train.beta1, train.beta2), fused=True)


def learning_rate(train: TrainConfig, step: int) -> float:
    """The rate of ``step`` (from 1): linear warm-up, then half a cosine down to its final share."""
    if step <= train.warmup_steps:
        return train.learning_rate * step / train.warmup_steps
    progress = (step - train.warmup_steps) / max(train.steps - train.warmup_steps, 1)
    floor = train.min_lr_ratio
    return train.learning_rate * (floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2)


def update(optimizer: torch.optim.Optimizer, train: TrainConfig, step: int, loss: float) -> float:
    """Clip the gradients of all processes to ``clip_norm`` and take the step; their norm before that.

    Raises :class:`TrainingError` before anything is changed if the loss or the norm is not finite.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    total = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    total = total.full_tensor() if isinstance(total, DTensor) else total
    norm = float(total)
    refuse_not_finite(step, loss, norm)
    clip_grads_with_norm_(parameters, train.clip_norm, total)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(train, step)
    optimizer.step()
    optimizer.zero_grad()
    return norm


def refuse_not_finite(step: int, loss: float, norm: float) -> None:
    """Raise :class:`TrainingError` unless both are finite."""
    for name, value in (("loss", loss), ("gradient norm", norm)):
        if not math.isfinite(value):
            raise TrainingError(
                f"step {step}: the {name} is {value}, but only a finite one may change the weights; lower "
                "learning_rate or raise warmup_steps"
            )

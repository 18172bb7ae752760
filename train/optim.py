"""Optimizer: AdamW, the learning-rate schedule, and a step that refuses non-finite values."""

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from core.config import TrainConfig
from core.errors import TrainingError


def build_optimizer(parameters: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.AdamW:
    """Return AdamW (Loshchilov and Hutter 2019) with weight decay on matrices only."""
    matrices: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    for parameter in parameters:
        (matrices if parameter.ndim >= 2 else vectors).append(parameter)
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=True)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return the learning rate of ``step`` (from 1): linear warm-up, cosine decay to ``min_lr_ratio``."""
    if step <= config.warmup_steps:
        return config.learning_rate * step / config.warmup_steps
    progress = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    minimum = config.min_lr_ratio
    return config.learning_rate * (minimum + (1 - minimum) * (1 + math.cos(math.pi * progress)) / 2)


def optimizer_step(optimizer: torch.optim.Optimizer, config: TrainConfig, step: int, loss: float) -> float:
    """Clip the gradients to ``clip_norm`` and take the step; return their norm before clipping.

    Raises :class:`TrainingError`, before any change, if the loss or the norm is not finite.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    total = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    total = total.full_tensor() if isinstance(total, DTensor) else total
    norm = float(total)
    check_finite(step, loss, norm)
    clip_grads_with_norm_(parameters, config.clip_norm, total)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(config, step)
    optimizer.step()
    optimizer.zero_grad()
    return norm


def check_finite(step: int, loss: float, norm: float) -> None:
    """Raise :class:`TrainingError` unless loss and gradient norm are finite."""
    for name, value in (("loss", loss), ("gradient norm", norm)):
        if not math.isfinite(value):
            raise TrainingError(
                f"step {step}: the {name} is {value}, but must be finite to update the weights; lower "
                "learning_rate or raise warmup_steps"
            )

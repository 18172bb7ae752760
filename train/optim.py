"""Optimizer: AdamW or Muon, the learning-rate schedule, and a step with clipped gradients."""

import math

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from core.config import TrainConfig
from train.muon import Muon


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Return the optimizer of all weights that are trained: AdamW (Loshchilov and Hutter 2019), or Muon.

    Only matrices decay. Muon updates those of the blocks, AdamW the embeddings, the output layer, norms and
    biases.
    """
    hidden: list[nn.Parameter] = []
    matrices: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_hidden = config.optimizer == "muon" and name.startswith("blocks.") and parameter.ndim == 2
            (hidden if is_hidden else matrices if parameter.ndim >= 2 else vectors).append(parameter)
    groups = [
        {"params": hidden, "weight_decay": config.weight_decay, "momentum": config.muon_momentum},
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    optimizer_class = Muon if config.optimizer == "muon" else torch.optim.AdamW
    return optimizer_class(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=True)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return the learning rate of ``step`` (from 1): linear warm-up, then ``config.schedule``.

    ``wsd`` is warm-up, stable, decay (Hu et al. 2024).
    """
    warmup = warmup_steps(config)
    if step <= warmup:
        return config.learning_rate * step / warmup
    if config.schedule == "constant":
        return config.learning_rate
    start = warmup if config.schedule != "wsd" else max(warmup, decay_start(config))
    progress = max(0.0, (step - start) / max(config.steps - start, 1))
    fallen = (1 - math.cos(math.pi * progress)) / 2 if config.schedule == "cosine" else progress
    return config.learning_rate * (1 - (1 - config.min_lr_ratio) * fallen)


def warmup_steps(config: TrainConfig) -> int:
    """Return the number of steps of the warm-up: as configured, or a tenth of all, at most 100."""
    return min(100, config.steps // 10) if config.warmup_steps < 0 else config.warmup_steps


def decay_start(config: TrainConfig) -> int:
    """Return the last step before the decay of the schedule ``wsd``."""
    return config.steps - max(1, round(config.steps * config.decay_share))


def gradient_norm(optimizer: torch.optim.Optimizer) -> Tensor:
    """Return the norm of all gradients, a scalar that is equal in all processes."""
    gradients = [parameter.grad for parameter in _parameters(optimizer) if parameter.grad is not None]
    total = get_total_norm(gradients)
    return total.full_tensor() if isinstance(total, DTensor) else total


def optimizer_step(
    optimizer: torch.optim.Optimizer, config: TrainConfig, step: int, total_norm: Tensor
) -> None:
    """Clip the gradients, whose norm is ``total_norm``, to ``clip_norm``, and take the step."""
    clip_grads_with_norm_(_parameters(optimizer), config.clip_norm, total_norm)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(config, step)
    optimizer.step()
    optimizer.zero_grad()


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]

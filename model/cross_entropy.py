"""Cross-entropy of the next tokens, in chunks, so that the logits of all tokens are never in memory at once.

Shapes: N tokens, C channels, V tokens of the vocabulary.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Projection = Callable[[Tensor, Tensor], Tensor]
"""Maps hidden states ``[n, C]`` and a weight ``[V, C]`` to logits ``[n, V]``."""
CHUNK_TOKENS = 1024
"""Tokens whose logits are in memory at a time: enough for matrix products of full speed."""


class Losses(NamedTuple):
    """Losses of tokens."""

    total: Tensor
    """Scalar, float32: what is minimized, summed over all targets. Only this one has a gradient."""
    nats: Tensor
    """float32, shaped as the targets: cross-entropy of each; 0 for ignored ones."""


def chunked_cross_entropy(
    hidden_states: Tensor,
    weight: Tensor,
    targets: Tensor,
    project: Projection = F.linear,
    z_loss: float = 0.0,
) -> Losses:
    """Return the losses of ``targets`` (int64 ``[N]``; -100 is ignored) given ``hidden_states`` (``[N, C]``).

    ``weight`` is ``[V, C]``. What is minimized is the cross-entropy plus ``z_loss`` times the squared
    logarithm of the softmax's denominator (PaLM, Chowdhery et al. 2022).

    Gradients are computed together with the losses, chunk by chunk, as in Liger Kernel (Hsu et al. 2024):
    no logits are kept or computed twice, and backward only scales the gradients. Those of ``weight`` are
    summed in float32. ``F.linear_cross_entropy`` works likewise, but returns no losses by token.
    """
    # The gradient mode is passed on, since it is always off inside of apply.
    learns = torch.is_grad_enabled()
    return Losses(*_ChunkedCrossEntropy.apply(hidden_states, weight, targets, project, z_loss, learns))


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Computes the gradients in the forward pass: all targets count the same, so only a factor is missing."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_states: Tensor,
        weight: Tensor,
        targets: Tensor,
        project: Projection,
        z_loss: float,
        learns: bool,
    ) -> tuple[Tensor, Tensor]:
        learns_hidden, learns_weight = (learns and needed for needed in ctx.needs_input_grad[:2])
        learns = learns_hidden or learns_weight
        leaf = weight.detach().requires_grad_(learns_weight)
        weight_gradient: Tensor | None = None
        totals, nats, hidden_gradients = [], [], []
        chunks = (torch.split(part, CHUNK_TOKENS) for part in (hidden_states, targets))
        for states, target in zip(*chunks, strict=True):
            chunk = states.detach().requires_grad_(learns_hidden)
            with torch.set_grad_enabled(learns):
                total, each = _losses(project(chunk, leaf).float(), target, z_loss)
            if learns:
                torch.autograd.backward(total)
            if leaf.grad is not None:
                part, leaf.grad = leaf.grad, None
                weight_gradient = part.float() if weight_gradient is None else weight_gradient.add_(part)
            totals.append(total.detach())
            nats.append(each.detach())
            if chunk.grad is not None:
                hidden_gradients.append(chunk.grad)
        ctx.hidden_gradient = torch.cat(hidden_gradients) if learns_hidden else None
        ctx.weight_gradient = weight_gradient
        ctx.weight_dtype = weight.dtype
        all_nats = torch.cat(nats)
        ctx.mark_non_differentiable(all_nats)
        return torch.stack(totals).sum(), all_nats

    @staticmethod
    def backward(ctx: Any, factor: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight = ctx.hidden_gradient, ctx.weight_gradient
        del ctx.hidden_gradient, ctx.weight_gradient  # scaled in place, so only once
        return (
            None if hidden is None else hidden.mul_(factor),
            None if weight is None else weight.mul_(factor).to(ctx.weight_dtype),
            None,
            None,
            None,
            None,
        )


def _losses(logits: Tensor, targets: Tensor, z_loss: float) -> tuple[Tensor, Tensor]:
    """Return what is minimized, a scalar, and the cross-entropy of each target, ``[n]``."""
    nats = F.cross_entropy(logits, targets, reduction="none")
    if not z_loss:
        return nats.sum(), nats
    denominators = logits.logsumexp(dim=1).masked_fill(targets < 0, 0)
    return nats.sum() + z_loss * denominators.square().sum(), nats

"""Attention with masks: causal, sliding windows, soft-capped scores.

Shapes: B batch size, T tokens, S keys, H heads, K key-value heads, D head size.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Kernel(Protocol):
    """Attention of each query over the keys that it may see."""

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, *, dropout: float, scale: float, softcap: float
    ) -> Tensor:
        """Return the attended values, ``[B, H, T, D]``.

        ``query`` is ``[B, H, T, D]``, ``key`` and ``value`` are ``[B, K, S, D]``. ``dropout`` is the
        probability for attention weights; ``scale`` multiplies scores, which ``softcap`` limits (0: not).
        """
        ...


@dataclass(frozen=True, slots=True)
class MaskedAttention:
    """Attention with a mask over all pairs of queries and keys, or without one."""

    mask: Tensor | None
    """``[B or 1, 1, T, S]``, boolean (True: may attend) or added to the scores; None: causal."""

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, *, dropout: float, scale: float, softcap: float
    ) -> Tensor:
        """Return the attended values, ``[B, H, T, D]``; arguments as of :class:`Kernel`."""
        if softcap:
            return softcapped_attention(query, key, value, self.mask, dropout, scale, softcap)
        return F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=self.mask,
            dropout_p=dropout,
            is_causal=self.mask is None,
            scale=scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )


def limit_to_window(mask: Tensor | None, queries: Tensor, window: int) -> Tensor | None:
    """Return a mask that also hides keys ``window`` or more tokens before the query.

    ``mask`` is ``[B or 1, 1, T, S]``, boolean (True: may attend) or added to the scores; None: causal.
    ``queries``: index of each query among the keys, int64 ``[B or 1, T]``. The mask is returned as it is
    if there are no more keys than ``window``.
    """
    num_keys = queries.shape[1] if mask is None else mask.shape[-1]
    if num_keys <= window:
        return mask
    distance = (queries[..., None] - torch.arange(num_keys, device=queries.device))[:, None]
    if mask is None:
        return (distance >= 0) & (distance < window)
    far = distance >= window
    return mask & ~far if mask.dtype == torch.bool else mask.masked_fill(far, -torch.inf)


def soft_cap(x: Tensor, cap: float) -> Tensor:
    """Limit values to ±``cap`` by a scaled hyperbolic tangent (Gemma 2); 0: no limit."""
    return cap * torch.tanh(x / cap) if cap else x


def softcapped_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    scale: float,
    cap: float,
) -> Tensor:
    """Return attention with scores limited to ±``cap``, ``[B, H, T, D]``.

    ``query`` is ``[B, H, T, D]``, ``key`` and ``value`` are ``[B, K, S, D]``; ``mask`` as for
    :func:`limit_to_window`. Stores all scores, ``[B, H, T, S]``: PyTorch's fused attention has no soft-cap.
    """
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scores = soft_cap(query @ key.transpose(2, 3) * scale, cap)
    if mask is None:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(value.dtype)
    return (F.dropout(weights, dropout) if dropout else weights) @ value

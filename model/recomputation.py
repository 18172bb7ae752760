"""Activation checkpointing: recompute activations in the backward pass instead of keeping them.

``full`` keeps the input of each block only (Chen et al. 2016). ``selective`` keeps the results of attention
and of every second matrix product as well, as torchtitan does, so that the rest is cheap to recompute.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.attention.flex_attention
import torch.nn.attention.varlen  # registers its operator
from torch import Tensor
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

ActivationCheckpointing = Literal["none", "selective", "full"]

_aten = torch.ops.aten
ATTENTION = frozenset(
    {
        _aten._scaled_dot_product_flash_attention.default,
        _aten._scaled_dot_product_efficient_attention.default,
        _aten._scaled_dot_product_cudnn_attention.default,
        _aten._scaled_dot_product_flash_attention_for_cpu.default,
        torch.ops.higher_order.flex_attention,
        torch.ops.torch_attn._varlen_attn.default,
    }
)
PRODUCTS = frozenset({_aten.mm.default, _aten.addmm.default})


def run_block(
    mode: ActivationCheckpointing, block: Callable[..., Tensor], x: Tensor, *arguments: object
) -> Tensor:
    """Return ``block(x, *arguments)``, computed again in the backward pass unless ``mode`` is ``none``."""
    if mode == "none" or not torch.is_grad_enabled():
        return block(x, *arguments)
    if mode == "full":
        return checkpoint(block, x, *arguments, use_reentrant=False)
    return checkpoint(block, x, *arguments, use_reentrant=False, context_fn=_selective_contexts)


def _selective_contexts() -> Any:
    """Return the contexts of a block's first computation and of its repetition."""
    policy = partial(_policy, {False: 0, True: 0})
    return create_selective_checkpoint_contexts(policy)  # type: ignore[no-untyped-call]  # torch's is untyped


def _policy(products: dict[bool, int], context: Any, operation: Any, *_: Any, **__: Any) -> CheckpointPolicy:
    """Return whether to keep the result of an operation.

    ``products``: number of matrix products so far in the repetition (True) and before it. The first of two
    is recomputed, so that the last of Llama's seven, which the backward pass does not need, is not kept.
    """
    if operation in PRODUCTS:
        products[context.is_recompute] += 1
    is_kept = operation in ATTENTION or (operation in PRODUCTS and products[context.is_recompute] % 2 == 0)
    return CheckpointPolicy.MUST_SAVE if is_kept else CheckpointPolicy.PREFER_RECOMPUTE

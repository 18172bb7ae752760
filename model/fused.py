"""Fused layers: a faster form of a model for inference only, which cannot be trained or saved.

Projections with the same input become one matrix. On x86 CPUs, PyTorch would otherwise repack a large matrix
for every product with several rows, so some matrices are also kept in oneDNN's packed layout, at twice the
memory (times on a Xeon with AMX, PyTorch 2.15):

- bfloat16: all matrices; products take 20 to 50 percent less time.
- float32: matrices with at least :data:`PACK_RATIO` outputs per input; a third less time. The unpacked matrix
  is stored column-major, which is up to a third faster for one row, and no slower for several rows where
  outputs do not outnumber inputs.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.attention import soft_cap
from model.transformer import Attention, Block, FeedForward, Transformer

PACK_RATIO = 2
"""Outputs per input from which on a float32 matrix is also packed."""
PACK_ROWS = 16
"""Number of input rows for which oneDNN optimizes the packed layout."""


class FusedLinear(nn.Linear):
    """Linear layers with the same input as one; their outputs are concatenated."""

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor | None] = ()) -> None:
        nn.Module.__init__(self)
        weight = torch.cat(list(weights)) if len(weights) > 1 else weights[0]
        present = [bias for bias in biases if bias is not None]
        self.register_parameter("bias", nn.Parameter(torch.cat(present), False) if present else None)
        self.out_features, self.in_features = weight.shape
        self.packed: Tensor | None = None
        if weight.device.type == "cpu" and torch.cpu._is_avx2_supported():
            float32 = weight.dtype == torch.float32
            wide = self.out_features >= PACK_RATIO * self.in_features
            if weight.dtype == torch.bfloat16 or (float32 and wide):
                self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), PACK_ROWS)
            if float32:
                weight = weight.t().contiguous().t()
        self.weight = nn.Parameter(weight, False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[…, in]`` to ``[…, out]``."""
        if self.packed is not None and x.numel() > self.in_features:
            result: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
            return result
        return F.linear(x, self.weight, self.bias)


def _fuse_linears(*layers: nn.Linear) -> FusedLinear:
    return FusedLinear([layer.weight for layer in layers], [layer.bias for layer in layers])


class FusedAttention(Attention):
    """Attention with one projection for query, key and value."""

    def __init__(self, source: Attention) -> None:
        nn.Module.__init__(self)
        for name in ("layer", "head_size", "is_rotary", "is_local", "scale", "softcap"):
            setattr(self, name, getattr(source, name))
        self.dropout = 0.0
        self.query_norm, self.key_norm = source.query_norm, source.key_norm
        self.sizes = [layer.out_features for layer in (source.query, source.key, source.value)]
        self.qkv = _fuse_linears(source.query, source.key, source.value)
        self.output = _fuse_linears(source.output)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = self.qkv(x).split(self.sizes, dim=-1)
        return self._split_heads(query), self._split_heads(key), self._split_heads(value)


class FusedFeedForward(FeedForward):
    """Feed-forward layer with one projection for gate and input."""

    def __init__(self, source: FeedForward) -> None:
        nn.Module.__init__(self)
        self.gate_up = _fuse_linears(*([source.gate] if source.gate else []), source.up)
        self.gated = source.gate is not None
        self.activation = source.activation
        self.down = _fuse_linears(source.down)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, T, C]`` to ``[B, T, C]``."""
        projected = self.gate_up(x)
        if self.gated:
            gate, up = projected.chunk(2, dim=-1)
            activated = self.activation(gate) * up
        else:
            activated = self.activation(projected)
        result: Tensor = self.down(activated)
        return result


class FusedTransformer(Transformer):
    """Result of :func:`fuse`."""

    head: FusedLinear

    def logits(self, hidden_states: Tensor) -> Tensor:
        """Map ``[…, C]`` to ``[…, V]``."""
        return soft_cap(self.head(hidden_states), self.config.logit_softcap)


def fuse(model: Transformer) -> Transformer:
    """Fuse ``model`` in place, block by block, and return it."""
    for block in model.blocks:
        assert isinstance(block, Block)
        block.attention = FusedAttention(block.attention)
        block.feed_forward = FusedFeedForward(block.feed_forward)
    head = FusedLinear([model.embedding.weight if model.output is None else model.output.weight])
    model.__class__ = FusedTransformer
    model.head = head
    model.output = None
    return model

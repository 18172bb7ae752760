"""The same model in a form that computes faster and cannot be trained or saved any more.

Projections that read the same input become one matrix. And on x86 processors, where the libraries otherwise
repack the large matrix for every product of several rows, it is also kept in oneDNN's own packing, in its
memory a second time (times of a Xeon with AMX, PyTorch 2.15):

- In bfloat16 every matrix, for 20 to 50 percent less time.
- In float32 those that widen much, for a third less time. The matrix for one row lies column by column there,
  which is up to a third faster, and as good for several rows where nothing is widened.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.transformer import Attention, Block, FeedForward, Transformer

WIDENS = 2
"""Outputs per input from which on a float32 matrix is also kept packed."""
TYPICAL_ROWS = 16
"""What the packing is made for."""


class Product(nn.Linear):
    """Several layers with the same input as one, whose results stand side by side."""

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor | None] = ()) -> None:
        nn.Module.__init__(self)
        weight = torch.cat(list(weights)) if len(weights) > 1 else weights[0]
        given = [bias for bias in biases if bias is not None]
        self.register_parameter("bias", nn.Parameter(torch.cat(given), False) if given else None)
        self.out_features, self.in_features = weight.shape
        self.packed: Tensor | None = None
        if weight.device.type == "cpu" and torch.cpu._is_avx2_supported():
            single = weight.dtype == torch.float32
            if self.out_features >= WIDENS * self.in_features if single else weight.dtype == torch.bfloat16:
                self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), TYPICAL_ROWS)
            if single:
                weight = weight.t().contiguous().t()
        self.weight = nn.Parameter(weight, False)

    def forward(self, x: Tensor) -> Tensor:
        """``[…, in]`` to ``[…, out]``."""
        if self.packed is not None and x.numel() > self.in_features:
            fused: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
            return fused
        return F.linear(x, self.weight, self.bias)


def _joined(*parts: nn.Linear) -> Product:
    return Product([part.weight for part in parts], [part.bias for part in parts])


class JoinedAttention(Attention):
    """Queries, keys and values from one product."""

    def __init__(self, source: Attention) -> None:
        nn.Module.__init__(self)
        self.layer, self.head_size, self.grouped = source.layer, source.head_size, source.grouped
        self.sizes = [part.out_features for part in (source.query, source.key, source.value)]
        self.joined = _joined(source.query, source.key, source.value)
        self.output = _joined(source.output)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        queries, keys, values = self.joined(x).split(self.sizes, dim=-1)
        return self._heads(queries), self._heads(keys), self._heads(values)


class JoinedFeedForward(FeedForward):
    """Gate and input from one product."""

    def __init__(self, source: FeedForward) -> None:
        nn.Module.__init__(self)
        self.joined = _joined(*([source.gate] if source.gate else []), source.up)
        self.gated = source.gate is not None
        self.down = _joined(source.down)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, t, w]`` to ``[n, t, w]``."""
        inner = self.joined(x)
        if self.gated:
            gate, up = inner.chunk(2, dim=-1)
            inner = F.silu(gate) * up
        else:
            inner = F.gelu(inner, approximate="tanh")
        result: Tensor = self.down(inner)
        return result


class JoinedTransformer(Transformer):
    """See :func:`join`."""

    head: Product

    def logits(self, states: Tensor) -> Tensor:
        """``[…, w]`` to ``[…, vocabulary]``."""
        result: Tensor = self.head(states)
        return result


def join(model: Transformer) -> Transformer:
    """Turn ``model`` into its faster form, in place, block by block."""
    for block in model.blocks:
        assert isinstance(block, Block)
        block.attention = JoinedAttention(block.attention)
        block.feed_forward = JoinedFeedForward(block.feed_forward)
    head = Product([model.embedding.weight if model.output is None else model.output.weight])
    model.__class__ = JoinedTransformer
    model.head = head
    model.output = None
    return model

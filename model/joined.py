"""The same model in a form that computes faster and cannot be trained or saved any more.

Projections that read the same input become one matrix. And on x86 processors, where the libraries otherwise
repack the large matrix for every product (times of a Xeon with AMX, PyTorch 2.15):

- A float32 matrix lies column by column, up to a third faster for one row. Where it widens much, it is also
  kept in oneDNN's own packing: a third less time for several rows, and its memory a second time.
- A bfloat16 product of few rows is computed the other way round: then the matrix to be repacked is the small
  one, for 40 percent less time.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.transformer import Attention, Block, FeedForward, Transformer

FEW_ROWS = range(2, 65)
"""Rows for which the other way round is faster."""


WIDENS = 2
"""Outputs per input from which on a matrix is also kept packed."""
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
        on_x86 = weight.device.type == "cpu" and torch.cpu._is_avx2_supported()
        self.swapped = on_x86 and weight.dtype == torch.bfloat16
        if on_x86 and weight.dtype == torch.float32:
            if self.out_features >= WIDENS * self.in_features:
                self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), TYPICAL_ROWS)
            weight = weight.t().contiguous().t()
        self.weight = nn.Parameter(weight, False)

    def forward(self, x: Tensor) -> Tensor:
        """``[…, in]`` to ``[…, out]``; the result may lie transposed in memory."""
        rows = x.numel() // self.in_features
        if self.swapped and rows in FEW_ROWS:
            result = (self.weight @ x.reshape(rows, -1).t()).t()
            result = result if self.bias is None else result + self.bias
            return result.view(*x.shape[:-1], -1)
        if self.packed is not None and rows > 1:
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
        queries, keys, values = self.joined(x).contiguous().split(self.sizes, dim=-1)
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

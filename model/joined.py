"""The same model in a form that computes faster and cannot be trained or saved any more.

Projections that read the same input become one matrix. And a product of few rows with a large matrix is
computed the other way round on CPUs: there the libraries repack the right-hand matrix each time, which then
is the small one.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.transformer import Attention, Block, FeedForward, Transformer

FEW_ROWS = {torch.bfloat16: range(2, 65), torch.float32: range(8, 33)}
"""Rows for which the other way round was faster, by up to 40 and 20 percent (Xeon with AMX, PyTorch 2.15)."""


class Product(nn.Linear):
    """Several layers with the same input as one, whose results stand side by side."""

    def __init__(self, *parts: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.weight = _fixed([part.weight for part in parts])
        biases = [part.bias for part in parts if part.bias is not None]
        self.register_parameter("bias", _fixed(biases) if biases else None)

    def forward(self, x: Tensor) -> Tensor:
        """``[…, in]`` to ``[…, out]``."""
        return product(x, self.weight, self.bias)


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """As :func:`torch.nn.functional.linear`; the result may lie transposed in memory."""
    rows = x.numel() // x.shape[-1]
    if x.device.type != "cpu" or rows not in FEW_ROWS.get(x.dtype, ()):
        return F.linear(x, weight, bias)
    result = (weight @ x.reshape(rows, -1).t()).t()
    if bias is not None:
        result = result + bias
    return result.view(*x.shape[:-1], -1)


def _fixed(parts: Sequence[Tensor]) -> nn.Parameter:
    return nn.Parameter(torch.cat(list(parts)) if len(parts) > 1 else parts[0], requires_grad=False)


class JoinedAttention(Attention):
    """Queries, keys and values from one product."""

    def __init__(self, source: Attention) -> None:
        nn.Module.__init__(self)
        self.layer, self.head_size, self.grouped = source.layer, source.head_size, source.grouped
        self.sizes = [part.out_features for part in (source.query, source.key, source.value)]
        self.joined = Product(source.query, source.key, source.value)
        self.output = Product(source.output)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        queries, keys, values = self.joined(x).contiguous().split(self.sizes, dim=-1)
        return self._heads(queries), self._heads(keys), self._heads(values)


class JoinedFeedForward(FeedForward):
    """Gate and input from one product."""

    def __init__(self, source: FeedForward) -> None:
        nn.Module.__init__(self)
        self.joined = Product(*([source.gate] if source.gate else []), source.up)
        self.gated = source.gate is not None
        self.down = Product(source.down)

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

    def logits(self, states: Tensor) -> Tensor:
        """``[…, w]`` to ``[…, vocabulary]``."""
        return product(states, self.embedding.weight if self.output is None else self.output.weight, None)


def join(model: Transformer) -> Transformer:
    """Turn ``model`` into its faster form, in place, block by block, so that memory holds it once."""
    for block in model.blocks:
        assert isinstance(block, Block)
        block.attention = JoinedAttention(block.attention)
        block.feed_forward = JoinedFeedForward(block.feed_forward)
    model.__class__ = JoinedTransformer
    return model

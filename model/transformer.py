"""Llama's decoder: RMSNorm, rotary positions, grouped-query attention, SwiGLU (Touvron et al. 2023).

And GPT-2's, by the same code: LayerNorm, learned positions, GELU, biases (Radford et al. 2019). Every
difference is a field of :class:`TransformerConfig`.

Shapes in this file: ``n`` sequences, ``t`` tokens each, ``w`` the width, ``h`` heads of size ``d``.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from model.config import RopeScaling, TransformerConfig
from model.kv_cache import Cache

INITIAL_STD = 0.02
"""Standard deviation of fresh weights, as GPT-2 set it."""


@dataclass(frozen=True, slots=True)
class Context:
    """What every block needs to know beyond its input; made once per forward pass.

    Not a tuple: FSDP casts tensors that it finds in arguments to the low precision of the weights, and the
    rotation must stay in float32.
    """

    rotation: tuple[Tensor, Tensor] | None
    """Cosine and sine of every position's angles; None where positions are learned."""
    mask: Tensor | None
    """True where a query (row) may look at a key (column), ``[n, 1, t, keys]``; None: plain causal."""
    cache: Cache | None
    recompute: bool


class Attention(nn.Module):
    """Causal attention with fewer key-value heads than query heads (Ainslie et al. 2023)."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_size = config.head_size
        self.grouped = config.num_heads != config.num_kv_heads
        inner, inner_kv = config.num_heads * config.head_size, config.num_kv_heads * config.head_size
        self.query = nn.Linear(config.hidden_size, inner, bias=config.qkv_bias)
        self.key = nn.Linear(config.hidden_size, inner_kv, bias=config.qkv_bias)
        self.value = nn.Linear(config.hidden_size, inner_kv, bias=config.qkv_bias)
        self.output = nn.Linear(inner, config.hidden_size, bias=config.output_bias)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """``[n, t, w]`` to ``[n, t, w]``."""
        queries, keys, values = self._project(x)
        if context.rotation is not None:
            queries, keys = rotate(queries, *context.rotation), rotate(keys, *context.rotation)
        if context.cache is not None:
            keys, values = context.cache.extend(self.layer, keys, values)
        mixed = F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=context.mask,
            is_causal=context.mask is None,
            enable_gqa=self.grouped,
        )
        result: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return result

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, ``[n, h, t, d]`` each."""
        return self._heads(self.query(x)), self._heads(self.key(x)), self._heads(self.value(x))

    def _heads(self, x: Tensor) -> Tensor:
        """``[n, t, h·d]`` to ``[n, h, t, d]``."""
        return x.view(*x.shape[:2], -1, self.head_size).transpose(1, 2)


class FeedForward(nn.Module):
    """SwiGLU, a linear unit gated by SiLU (Shazeer 2020), or two layers with a GELU between."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        bias, gated = config.feed_forward_bias, config.activation == "swiglu"
        self.gate = nn.Linear(config.hidden_size, config.intermediate_size, bias=bias) if gated else None
        self.up = nn.Linear(config.hidden_size, config.intermediate_size, bias=bias)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, t, w]`` to ``[n, t, w]``."""
        up = self.up(x)
        inner = F.gelu(up, approximate="tanh") if self.gate is None else F.silu(self.gate(x)) * up
        result: Tensor = self.down(inner)
        return result


class Block(nn.Module):
    """Tokens look at each other, then each thinks for itself; both add to what is already known."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = _norm(config)
        self.attention = Attention(config, layer)
        self.feed_forward_norm = _norm(config)
        self.feed_forward = FeedForward(config)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """``[n, t, w]`` to ``[n, t, w]``."""
        if context.recompute and torch.is_grad_enabled():
            recomputed: Tensor = checkpoint(self._forward, x, context, use_reentrant=False)
            return recomputed
        return self._forward(x, context)

    def _forward(self, x: Tensor, context: Context) -> Tensor:
        x = x + self.attention(self.attention_norm(x), context)
        result: Tensor = x + self.feed_forward(self.feed_forward_norm(x))
        return result


class Transformer(nn.Module):
    """The whole decoder: tokens in, logits out."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.recompute = False
        """Keep no activations for the backward pass, compute them again: less memory, a third more work."""
        self.embedding = nn.Embedding(config.vocabulary_size, config.hidden_size)
        learned = config.positions == "learned"
        self.positions = nn.Embedding(config.context, config.hidden_size) if learned else None
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.num_layers))
        self.norm = _norm(config)
        self.output = (
            None if config.tied else nn.Linear(config.hidden_size, config.vocabulary_size, bias=False)
        )

    def forward(self, tokens: Tensor, documents: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Logits ``[n, t, vocabulary]`` of the token after each of ``tokens`` (int64 ``[n, t]``).

        ``documents`` (int64 ``[n, t]``) numbers the piece that each position belongs to; attention stays
        inside a piece and positions restart with it. Without it, each row is one piece. With ``cache``,
        ``tokens`` continue what the cache holds, and the cache grows by them.
        """
        return self.logits(self.states(tokens, documents, cache))

    def states(self, tokens: Tensor, documents: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """What :meth:`forward` computes before the output matrix, ``[n, t, w]``.

        Whoever wants the logits of a few positions only gives those to :meth:`logits`.
        """
        positions, mask = _places(tokens, documents, cache)
        turns = rotation(positions, self.config) if self.positions is None else None
        context = Context(turns, mask, cache, self.recompute)
        x = self.embedding(tokens)
        if self.positions is not None:
            x = x + self.positions(positions)
        for block in self.blocks:
            x = block(x, context)
        if cache is not None:
            cache.advance(tokens.shape[1])
        normed: Tensor = self.norm(x)
        return normed

    def logits(self, states: Tensor) -> Tensor:
        """``[…, w]`` to ``[…, vocabulary]``."""
        matrix = self.embedding.weight if self.output is None else self.output.weight
        return F.linear(states, matrix)


def _norm(config: TransformerConfig) -> nn.Module:
    kind = nn.RMSNorm if config.norm == "rms" else nn.LayerNorm
    return kind(config.hidden_size, eps=config.norm_epsilon)


def _places(tokens: Tensor, documents: Tensor | None, cache: Cache | None) -> tuple[Tensor, Tensor | None]:
    """Where each token stands, int64 ``[n or 1, t]``, and the mask of who may look at whom."""
    if documents is not None:
        return positions_in(documents), document_mask(documents)
    if cache is not None:
        return cache.place(tokens.shape[1])
    return torch.arange(tokens.shape[1], device=tokens.device)[None], None


def rotation(positions: Tensor, config: TransformerConfig) -> tuple[Tensor, Tensor]:
    """Cosine and sine, float32 ``[n, 1, t, d/2]``, of each position's angles (RoPE, Su et al. 2021)."""
    size = config.head_size
    exponents = torch.arange(0, size, 2, device=positions.device, dtype=torch.float32) / size
    speeds = 1.0 / config.rope_theta**exponents
    if config.rope_scaling is not None:
        speeds = _slowed(speeds, config.rope_scaling)
    angles = positions[:, None, :, None].float() * speeds
    return angles.cos(), angles.sin()


def _slowed(speeds: Tensor, scaling: RopeScaling) -> Tensor:
    """Radians per token after Llama 3's scaling."""
    turns = speeds * (scaling.original_context / (2 * math.pi))
    kept = (turns - scaling.low_frequency_factor) / (
        scaling.high_frequency_factor - scaling.low_frequency_factor
    )
    return torch.lerp(speeds / scaling.factor, speeds, kept.clamp(0, 1))


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn the pairs (channel i, channel i + d/2) of ``[n, h, t, d]`` by their position's angles."""
    first, second = x.float().chunk(2, dim=-1)
    turned = torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)
    return turned.to(x.dtype)


def positions_in(documents: Tensor) -> Tensor:
    """Each position's distance from the start of its piece, int64 ``[n, t]``."""
    index = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return index - torch.where(begins, index, 0).cummax(dim=1).values


def document_mask(documents: Tensor) -> Tensor:
    """Block-diagonal causal mask ``[n, 1, t, t]``: a position sees its piece up to itself."""
    same = documents[:, :, None] == documents[:, None, :]
    return same.tril()[:, None]


def initial_weight(
    config: TransformerConfig, name: str, shape: torch.Size, generator: torch.Generator
) -> Tensor:
    """A fresh value, float32 on the CPU, for the parameter ``name`` of a :class:`Transformer`.

    Norms begin at one, biases at zero. Matrices are normal; those that write into the residual stream are
    scaled down by the square root of the number of such writes, so that its variance does not grow with depth
    (GPT-2).
    """
    if name.endswith("norm.weight"):
        return torch.ones(shape)
    if name.endswith(".bias"):
        return torch.zeros(shape)
    writes = name.endswith(("attention.output.weight", "feed_forward.down.weight"))
    std = INITIAL_STD / math.sqrt(2 * config.num_layers) if writes else INITIAL_STD
    return torch.empty(shape).normal_(0.0, std, generator=generator)

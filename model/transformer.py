"""A Llama-style decoder: RMSNorm, rotary positions, grouped-query attention, SwiGLU (Touvron et al. 2023).

Shapes in this file: ``n`` sequences, ``t`` tokens each, ``w`` the width, ``h`` heads of size ``d``.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from model.config import ModelConfig
from model.kv_cache import KVCache

INITIAL_STD = 0.02
"""Standard deviation of fresh weights, as GPT-2 set it."""


@dataclass(frozen=True, slots=True)
class Context:
    """What every block needs to know beyond its input; made once per forward pass.

    Not a tuple: FSDP casts tensors that it finds in arguments to the low precision of the weights, and the
    rotation must stay in float32.
    """

    cosine: Tensor
    sine: Tensor
    mask: Tensor | None
    """True where a query (row) may look at a key (column), ``[n, 1, t, keys]``; None: plain causal."""
    cache: KVCache | None
    recompute: bool


class Attention(nn.Module):
    """Causal attention with fewer key-value heads than query heads (Ainslie et al. 2023)."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_size = config.head_size
        self.grouped = config.heads != config.kv_heads
        self.query = nn.Linear(config.width, config.heads * config.head_size, bias=False)
        self.key = nn.Linear(config.width, config.kv_heads * config.head_size, bias=False)
        self.value = nn.Linear(config.width, config.kv_heads * config.head_size, bias=False)
        self.output = nn.Linear(config.heads * config.head_size, config.width, bias=False)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """``[n, t, w]`` to ``[n, t, w]``."""
        queries = rotate(self._heads(self.query(x)), context.cosine, context.sine)
        keys = rotate(self._heads(self.key(x)), context.cosine, context.sine)
        values = self._heads(self.value(x))
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

    def _heads(self, x: Tensor) -> Tensor:
        """``[n, t, h·d]`` to ``[n, h, t, d]``."""
        return x.view(*x.shape[:2], -1, self.head_size).transpose(1, 2)


class FeedForward(nn.Module):
    """SwiGLU: a gated linear unit with a SiLU gate (Shazeer 2020)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate = nn.Linear(config.width, config.hidden, bias=False)
        self.up = nn.Linear(config.width, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, t, w]`` to ``[n, t, w]``."""
        result: Tensor = self.down(F.silu(self.gate(x)) * self.up(x))
        return result


class Block(nn.Module):
    """Tokens look at each other, then each thinks for itself; both add to what is already known."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.width, eps=config.norm_epsilon)
        self.attention = Attention(config, layer)
        self.feed_forward_norm = nn.RMSNorm(config.width, eps=config.norm_epsilon)
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

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.recompute = False
        """Keep no activations for the backward pass, compute them again: less memory, a third more work."""
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = nn.RMSNorm(config.width, eps=config.norm_epsilon)
        self.output = None if config.tied else nn.Linear(config.width, config.vocabulary_size, bias=False)

    def forward(
        self, tokens: Tensor, documents: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """Logits ``[n, t, vocabulary]`` of the token after each of ``tokens`` (int64 ``[n, t]``).

        ``documents`` (int64 ``[n, t]``) numbers the piece that each position belongs to; attention stays
        inside a piece and positions restart with it. Without it, each row is one piece. With ``cache``,
        ``tokens`` continue what the cache holds, and the cache grows by them.
        """
        context = self._context(tokens, documents, cache)
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, context)
        if cache is not None:
            cache.length += tokens.shape[1]
        matrix = self.embedding.weight if self.output is None else self.output.weight
        return F.linear(self.norm(x), matrix)

    def _context(self, tokens: Tensor, documents: Tensor | None, cache: KVCache | None) -> Context:
        mask = None
        if documents is not None:
            positions, mask = positions_in(documents), document_mask(documents)
        else:
            start = cache.length if cache is not None else 0
            positions = torch.arange(start, start + tokens.shape[1], device=tokens.device)[None]
            if start:
                keys = torch.arange(start + tokens.shape[1], device=tokens.device)
                mask = (keys <= positions[..., None])[:, None]
        cosine, sine = rotation(positions, self.config.head_size, self.config.rope_theta)
        return Context(cosine, sine, mask, cache, self.recompute)


def rotation(positions: Tensor, head_size: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine, float32 ``[n, 1, t, d/2]``, of each position's angles (RoPE, Su et al. 2021)."""
    exponents = torch.arange(0, head_size, 2, device=positions.device, dtype=torch.float32) / head_size
    angles = positions[:, None, :, None].float() * theta**-exponents
    return angles.cos(), angles.sin()


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


def initial_weight(config: ModelConfig, name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """A fresh value, float32 on the CPU, for the parameter ``name`` of a :class:`Transformer`.

    Norms begin at one. Matrices are normal; those that write into the residual stream are scaled down by the
    square root of the number of such writes, so that its variance does not grow with depth (GPT-2).
    """
    if name.endswith("norm.weight"):
        return torch.ones(shape)
    writes = name.endswith(("attention.output.weight", "feed_forward.down.weight"))
    std = INITIAL_STD / math.sqrt(2 * config.layers) if writes else INITIAL_STD
    return torch.empty(shape).normal_(0.0, std, generator=generator)

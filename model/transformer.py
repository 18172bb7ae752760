"""A decoder-only transformer in the styles of Llama, GPT-2, Mistral, Qwen, SmolLM and Gemma.

Llama (Touvron et al. 2023): RMSNorm, rotary position embeddings, grouped-query attention, SwiGLU.
GPT-2 (Radford et al. 2019): LayerNorm, learned position embeddings, GELU, biases.
Each difference between families is a field of :class:`TransformerConfig`.

Shapes in this file: B batch size, T tokens, S keys (T plus the cached tokens), C ``hidden_size``, H heads,
D ``head_size``, V ``vocabulary_size``.
"""

import math
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.attention import Kernel, MaskedAttention, limit_to_window, soft_cap
from model.config import TransformerConfig
from model.cross_entropy import Losses, chunked_cross_entropy
from model.document_attention import document_attention, document_positions
from model.kv_cache import Cache
from model.recomputation import ActivationCheckpointing, run_block
from model.rotary import apply_rotary, rotary_embedding

INIT_STD = 0.02
"""Standard deviation of newly initialized matrices (GPT-2)."""


@dataclass(frozen=True, slots=True)
class ForwardContext:
    """Inputs that all blocks of one forward pass share.

    A class and not a tuple: FSDP casts tensors found in arguments to the precision of the weights, but the
    rotary embedding must stay in float32.
    """

    rotary: tuple[Tensor, Tensor] | None
    """Cosine and sine, float32 ``[B or 1, 1, T, D/2]``; None with learned positions."""
    attention: Kernel
    local_attention: Kernel
    """Attention of layers with a sliding window."""
    cache: Cache | None
    activation_checkpointing: ActivationCheckpointing


class Attention(nn.Module):
    """Causal self-attention with grouped key-value heads (Ainslie et al. 2023)."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_size = config.head_size
        self.dropout = config.dropout
        self.is_rotary = config.positions == "rotary" and layer not in config.nope_layers
        self.is_local = config.sliding_window > 0 and layer not in config.global_layers
        self.scale = 1 / math.sqrt(config.query_scalar or config.head_size)
        self.softcap = config.attention_softcap
        query_size = config.num_heads * config.head_size
        kv_size = config.num_kv_heads * config.head_size
        self.query = nn.Linear(config.hidden_size, query_size, bias=config.qkv_bias)
        self.key = nn.Linear(config.hidden_size, kv_size, bias=config.qkv_bias)
        self.value = nn.Linear(config.hidden_size, kv_size, bias=config.qkv_bias)
        self.query_norm = _build_norm(config, config.head_size) if config.qk_norm else nn.Identity()
        self.key_norm = _build_norm(config, config.head_size) if config.qk_norm else nn.Identity()
        self.output = nn.Linear(query_size, config.hidden_size, bias=config.output_bias)

    def forward(self, x: Tensor, context: ForwardContext) -> Tensor:
        """Map ``[B, T, C]`` to ``[B, T, C]``."""
        query, key, value = self._project(x)
        query, key = self.query_norm(query), self.key_norm(key)
        if self.is_rotary and context.rotary is not None:
            query, key = apply_rotary(query, *context.rotary), apply_rotary(key, *context.rotary)
        if context.cache is not None:
            key, value = context.cache.update(self.layer, key, value)
        attend = context.local_attention if self.is_local else context.attention
        dropout = self.dropout if self.training else 0.0
        attended = attend(query, key, value, dropout=dropout, scale=self.scale, softcap=self.softcap)
        result: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return result

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value, ``[B, H, T, D]`` each."""
        return (
            self._split_heads(self.query(x)),
            self._split_heads(self.key(x)),
            self._split_heads(self.value(x)),
        )

    def _split_heads(self, x: Tensor) -> Tensor:
        """Map ``[B, T, H·D]`` to ``[B, H, T, D]``."""
        return x.view(*x.shape[:2], -1, self.head_size).transpose(1, 2)


class FeedForward(nn.Module):
    """SwiGLU or GeGLU (Shazeer 2020), or two linear layers with a GELU between them."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        bias, gated = config.feed_forward_bias, config.is_gated
        self.activation = F.silu if config.activation == "swiglu" else _gelu
        self.gate = nn.Linear(config.hidden_size, config.intermediate_size, bias=bias) if gated else None
        self.up = nn.Linear(config.hidden_size, config.intermediate_size, bias=bias)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, T, C]`` to ``[B, T, C]``."""
        up = self.up(x)
        activated = self.activation(up) if self.gate is None else self.activation(self.gate(x)) * up
        result: Tensor = self.down(activated)
        return result


class Block(nn.Module):
    """Pre-norm residual block: attention mixes tokens, the feed-forward layer acts on each token."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        size = config.hidden_size
        self.attention_norm = _build_norm(config, size)
        self.attention = Attention(config, layer)
        self.attention_post_norm = _build_norm(config, size) if config.post_norms else nn.Identity()
        self.feed_forward_norm = _build_norm(config, size)
        self.feed_forward = FeedForward(config)
        self.feed_forward_post_norm = _build_norm(config, size) if config.post_norms else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, context: ForwardContext) -> Tensor:
        """Map ``[B, T, C]`` to ``[B, T, C]``."""
        return run_block(context.activation_checkpointing, self._forward, x, context)

    def _forward(self, x: Tensor, context: ForwardContext) -> Tensor:
        attended = self.attention(self.attention_norm(x), context)
        x = x + self.dropout(self.attention_post_norm(attended))
        transformed = self.feed_forward(self.feed_forward_norm(x))
        result: Tensor = x + self.dropout(self.feed_forward_post_norm(transformed))
        return result


class Transformer(nn.Module):
    """The complete model: token ids in, logits out."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.activation_checkpointing: ActivationCheckpointing = "none"
        """Recompute activations in the backward pass: less memory, up to a third more computation."""
        self.embedding = nn.Embedding(config.vocabulary_size, config.hidden_size)
        learned = config.positions == "learned"
        self.positions = nn.Embedding(config.context, config.hidden_size) if learned else None
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.num_layers))
        self.norm = _build_norm(config, config.hidden_size)
        self.output = (
            None if config.tied else nn.Linear(config.hidden_size, config.vocabulary_size, bias=False)
        )

    def forward(
        self,
        tokens: Tensor,
        document_ids: Tensor | None = None,
        cache: Cache | None = None,
        *,
        at: Tensor | None = None,
    ) -> Tensor:
        """Return the logits of each next token, ``[B, T, V]``, for ``tokens`` (int64 ``[B, T]``).

        ``document_ids`` (integers, ``[B, T]``) distinguishes packed documents: attention does not cross their
        boundaries, and positions restart at 0. Without it, each row is one document. With ``cache``,
        ``tokens`` continue the cached sequences and are added to them. With ``at`` (int64 ``[B]``), the
        logits of one position of each row are returned, ``[B, V]``.
        """
        hidden_states = self.hidden_states(tokens, document_ids, cache)
        if at is not None:
            hidden_states = hidden_states[torch.arange(len(at), device=at.device), at]
        return self.logits(hidden_states)

    def hidden_states(
        self, tokens: Tensor, document_ids: Tensor | None = None, cache: Cache | None = None
    ) -> Tensor:
        """Return the final hidden states, ``[B, T, C]``; arguments as in :meth:`forward`.

        Pass a selection of them to :meth:`logits` when only some positions are needed.
        """
        x = self.embedding(tokens)
        if self.config.embedding_scale != 1:
            x = x * x.new_tensor(self.config.embedding_scale)  # rounded to its dtype, as in training of Gemma
        positions, attention, local_attention = self._attention(tokens, document_ids, cache, x.dtype)
        rotary = rotary_embedding(positions, self.config) if self.positions is None else None
        context = ForwardContext(rotary, attention, local_attention, cache, self.activation_checkpointing)
        if self.positions is not None:
            x = x + self.positions(positions)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, context)
        if cache is not None:
            cache.advance(tokens.shape[1])
        result: Tensor = self.norm(x)
        return result

    def _attention(
        self, tokens: Tensor, document_ids: Tensor | None, cache: Cache | None, dtype: torch.dtype
    ) -> tuple[Tensor, Kernel, Kernel]:
        """Return the position of each token, int64 ``[B or 1, T]``, and attention, also with a window."""
        window = self.config.sliding_window
        if document_ids is not None:
            within_documents = partial(
                document_attention,
                document_ids,
                dtype,
                self.config.head_size,
                softcap=self.config.attention_softcap,
                dropout=self.config.dropout if self.training else 0.0,
            )
            everywhere = within_documents()
            return (
                document_positions(document_ids),
                everywhere,
                within_documents(window=window) if window else everywhere,
            )
        indices = torch.arange(tokens.shape[1], device=tokens.device)[None]
        positions, mask = (indices, None) if cache is None else cache.positions_and_mask(tokens.shape[1])
        local_mask = limit_to_window(mask, positions, window) if window else mask
        return positions, MaskedAttention(mask), MaskedAttention(local_mask)

    def logits(self, hidden_states: Tensor) -> Tensor:
        """Map ``[…, C]`` to ``[…, V]``."""
        return self._project(hidden_states, self._output_weight)

    def losses(
        self, tokens: Tensor, targets: Tensor, document_ids: Tensor | None = None, z_loss: float = 0.0
    ) -> Losses:
        """Return the losses of ``targets`` (int64 ``[B, T]``; -100 is ignored) without logits of all tokens.

        ``z_loss`` is that of :func:`model.cross_entropy.chunked_cross_entropy`; other arguments are those of
        :meth:`forward`.
        """
        hidden_states = self.hidden_states(tokens, document_ids).flatten(0, 1)
        total, nats = chunked_cross_entropy(
            hidden_states, self._output_weight, targets.flatten(), self._project, z_loss
        )
        return Losses(total, nats.view_as(targets))

    def _project(self, hidden_states: Tensor, weight: Tensor) -> Tensor:
        return soft_cap(F.linear(hidden_states, weight), self.config.logit_softcap)

    @property
    def _output_weight(self) -> Tensor:
        return self.embedding.weight if self.output is None else self.output.weight


class ZeroCenteredRMSNorm(nn.RMSNorm):
    """RMSNorm that multiplies by 1 + weight, in float32 (Gemma)."""

    def reset_parameters(self) -> None:
        """Set the weight to 0."""
        nn.init.zeros_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        return F.rms_norm(x.float(), self.normalized_shape, 1 + self.weight.float(), self.eps).to(x.dtype)


def _build_norm(config: TransformerConfig, size: int) -> nn.Module:
    if config.norm == "layer":
        return nn.LayerNorm(size, eps=config.norm_epsilon)
    norm_class = ZeroCenteredRMSNorm if config.zero_centered_norm else nn.RMSNorm
    return norm_class(size, eps=config.norm_epsilon)


def _gelu(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def initial_weight(
    config: TransformerConfig, name: str, shape: torch.Size, generator: torch.Generator
) -> Tensor:
    """Return the initial value, float32 on the CPU, of parameter ``name`` of a :class:`Transformer`.

    Norm weights are 1 (0 if zero-centered), biases 0. Matrices are normal with :data:`INIT_STD`; projections
    into the residual stream are scaled by 1/√(2 · layers), so that its variance does not grow with depth
    (GPT-2).
    """
    if name.endswith("norm.weight"):
        return torch.zeros(shape) if config.zero_centered_norm else torch.ones(shape)
    if name.endswith(".bias"):
        return torch.zeros(shape)
    residual = name.endswith(("attention.output.weight", "feed_forward.down.weight"))
    std = INIT_STD / math.sqrt(2 * config.num_layers) if residual else INIT_STD
    return torch.empty(shape).normal_(0.0, std, generator=generator)

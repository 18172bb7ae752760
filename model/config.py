"""Model configuration, with parameter and FLOP counts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Literal

DEFAULT_CONTEXT = 4096
"""Context length in tokens, assumed for models whose configuration states none."""

_RENAMED: Mapping[str, str] = MappingProxyType(
    {
        "layers": "num_layers",
        "width": "hidden_size",
        "heads": "num_heads",
        "kv_heads": "num_kv_heads",
        "hidden": "intermediate_size",
    }
)
"""Field names in checkpoints of version 0.1 -> current names."""


@dataclass(frozen=True, slots=True)
class LinearScaling:
    """Rotary frequencies divided by ``factor`` (position interpolation, Chen et al. 2023)."""

    factor: float


@dataclass(frozen=True, slots=True)
class Llama3Scaling:
    """Llama 3's scaling of rotary frequencies for longer contexts.

    Frequencies with fewer than ``low_frequency_factor`` rotations within ``original_context`` tokens are
    divided by ``factor``; those with more than ``high_frequency_factor`` are kept; in between, the two are
    interpolated.
    """

    factor: float
    low_frequency_factor: float
    high_frequency_factor: float
    original_context: int


@dataclass(frozen=True, slots=True)
class YarnScaling:
    """YaRN (Peng et al. 2023).

    Channel pairs with more than ``fast_rotations`` within ``original_context`` tokens keep their frequency;
    that of those with fewer than ``slow_rotations`` is divided by ``factor``; in between, linear in the index
    of the pair.
    """

    factor: float
    original_context: int
    attention_factor: float
    """Multiplies rotated queries and keys; :meth:`default_attention_factor` is the paper's."""
    fast_rotations: float = 32.0
    slow_rotations: float = 1.0

    @staticmethod
    def default_attention_factor(factor: float) -> float:
        """Return 0.1 · ln ``factor`` + 1."""
        return 0.1 * math.log(factor) + 1 if factor > 1 else 1.0


RopeScaling = LinearScaling | Llama3Scaling | YarnScaling


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """Architecture of a :class:`model.transformer.Transformer`: Llama (the defaults) or a related family.

    ``num_kv_heads`` divides ``num_heads``. ``head_size`` is even with rotary positions. Layers are counted
    from 0.
    """

    vocabulary_size: int
    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    intermediate_size: int
    """Size of the feed-forward layer."""
    rope_theta: float = 10_000.0
    norm_epsilon: float = 1e-5
    tied: bool = True
    """Share one matrix between input and output embeddings."""
    head_size: int = 0
    """Channels per attention head; 0 becomes ``hidden_size`` / ``num_heads``."""
    context: int = 0
    """Maximum sequence length in tokens; 0: unknown."""
    norm: Literal["rms", "layer"] = "rms"
    zero_centered_norm: bool = False
    """Norms of kind ``rms`` multiply by 1 + weight (Gemma)."""
    post_norms: bool = False
    """Normalize also what attention and feed-forward layers add to the residual stream (Gemma 2)."""
    qk_norm: bool = False
    """Normalize queries and keys over each head's channels, before they are rotated (Qwen3)."""
    positions: Literal["rotary", "learned"] = "rotary"
    """``learned``: an embedding table with ``context`` rows."""
    nope_layers: tuple[int, ...] = ()
    """Layers without rotary positions (SmolLM3)."""
    sliding_window: int = 0
    """Number of tokens to which a token attends, itself included (Mistral); 0: all."""
    global_layers: tuple[int, ...] = ()
    """Layers that attend to all tokens in spite of ``sliding_window`` (Gemma 2: every second)."""
    attention_softcap: float = 0.0
    """Limit attention scores s to ±cap by cap · tanh(s / cap) (Gemma 2); 0: no limit."""
    logit_softcap: float = 0.0
    """The same for the logits."""
    query_scalar: float = 0.0
    """Attention scores are divided by its square root (Gemma 2); 0: ``head_size``."""
    embedding_scale: float = 1.0
    """Factor of the input embeddings (Gemma: √``hidden_size``)."""
    activation: Literal["swiglu", "geglu", "gelu"] = "swiglu"
    """``swiglu`` and ``geglu`` gate a layer by SiLU or GELU of another (Shazeer 2020)."""
    qkv_bias: bool = False
    output_bias: bool = False
    """Bias of the attention output projection."""
    feed_forward_bias: bool = False
    rope_scaling: RopeScaling | None = None
    dropout: float = 0.0
    """Dropout probability in training: embeddings, attention weights, and what layers add to the residual
    stream."""

    def __post_init__(self) -> None:
        if not self.head_size:
            object.__setattr__(self, "head_size", self.hidden_size // self.num_heads)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TransformerConfig":
        """Create a configuration from :func:`dataclasses.asdict` output, also of version 0.1."""
        known = {_RENAMED.get(name, name): value for name, value in values.items()}
        if scaling := known.get("rope_scaling"):
            known["rope_scaling"] = _rope_scaling(scaling)
        for name in ("nope_layers", "global_layers"):
            known[name] = tuple(known.get(name, ()))
        return cls(**known)

    def as_gpt2(self, context: int) -> "TransformerConfig":
        """Return the configuration with the layers of GPT-2 and learned positions for ``context`` tokens."""
        return replace(
            self,
            context=context,
            norm="layer",
            positions="learned",
            activation="gelu",
            qkv_bias=True,
            output_bias=True,
            feed_forward_bias=True,
        )

    @property
    def num_parameters(self) -> int:
        """Number of trainable parameters; tied embeddings count once."""
        embeddings = self.vocabulary_size * self.hidden_size * (1 if self.tied else 2)
        positions = self.context * self.hidden_size if self.positions == "learned" else 0
        blocks = self.num_layers * self.block_parameters
        return embeddings + positions + blocks + self.norm_parameters(self.hidden_size)

    def training_flops(self, context: int) -> int:
        """Return the FLOPs per token of a forward and backward pass over sequences of ``context`` tokens.

        As in PaLM (Chowdhery et al. 2022, appendix B): 6 per weight used in matrix products (the input
        embedding is a lookup and not counted), and 12 · heads · head size · context for attention in each
        layer, or its sliding window instead of the context. Includes masked-out scores, excludes recomputed
        activations.
        """
        weights = self.num_layers * self.block_matrices + self.vocabulary_size * self.hidden_size
        num_local = self.num_layers - len(self.global_layers) if self.sliding_window else 0
        keys = (self.num_layers - num_local) * context + num_local * min(context, self.sliding_window)
        return 6 * weights + 12 * self.num_heads * self.head_size * keys

    @property
    def block_parameters(self) -> int:
        """Number of parameters of a block."""
        biases = (
            self.qkv_bias * (self.num_heads + 2 * self.num_kv_heads) * self.head_size
            + self.output_bias * self.hidden_size
            + self.feed_forward_bias
            * (self.intermediate_size * (self._feed_forward_matrices - 1) + self.hidden_size)
        )
        norms = (4 if self.post_norms else 2) * self.norm_parameters(self.hidden_size)
        qk_norms = 2 * self.norm_parameters(self.head_size) if self.qk_norm else 0
        return self.block_matrices + biases + norms + qk_norms

    @property
    def is_gated(self) -> bool:
        """True if the feed-forward layer has a gate, and so three matrices instead of two."""
        return self.activation != "gelu"

    def norm_parameters(self, size: int) -> int:
        """Return the number of parameters of a norm over ``size`` channels."""
        return size * (1 if self.norm == "rms" else 2)

    @property
    def block_matrices(self) -> int:
        """Number of elements of the matrices of a block."""
        attention = 2 * self.hidden_size * (self.num_heads + self.num_kv_heads) * self.head_size
        return attention + self._feed_forward_matrices * self.hidden_size * self.intermediate_size

    @property
    def _feed_forward_matrices(self) -> int:
        return 3 if self.is_gated else 2


def _rope_scaling(values: Mapping[str, Any]) -> RopeScaling:
    """Return the scaling whose fields are ``values``."""
    kinds = (LinearScaling, Llama3Scaling, YarnScaling)
    kind = next(kind for kind in kinds if {field.name for field in fields(kind)} == values.keys())
    return kind(**values)


def default_intermediate_size(hidden_size: int) -> int:
    """Return 8/3 of ``hidden_size``, rounded up to a multiple of 64.

    SwiGLU's three matrices then have about as many weights as two of 4 · ``hidden_size`` (Shazeer 2020).
    """
    return -(-8 * hidden_size // (3 * 64)) * 64

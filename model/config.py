"""Model configuration, with parameter and FLOP counts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
class RopeScaling:
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
class TransformerConfig:
    """Architecture of a :class:`model.transformer.Transformer`: Llama (the defaults) or GPT-2.

    ``num_kv_heads`` divides ``num_heads``. ``head_size`` is even with rotary positions.
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
    positions: Literal["rotary", "learned"] = "rotary"
    """``learned``: an embedding table with ``context`` rows."""
    activation: Literal["swiglu", "gelu"] = "swiglu"
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
        scaling = known.get("rope_scaling")
        return cls(**{**known, "rope_scaling": RopeScaling(**scaling) if scaling else None})

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
        return embeddings + positions + self.num_layers * self.block_parameters + self._norm_parameters

    def training_flops(self, context: int) -> int:
        """Return the FLOPs per token of a forward and backward pass over sequences of ``context`` tokens.

        As in PaLM (Chowdhery et al. 2022, appendix B): 6 per weight used in matrix products (the input
        embedding is a lookup and not counted), and 12 · layers · heads · head size · context for attention.
        Includes masked-out scores, excludes recomputed activations.
        """
        weights = self.num_layers * self.block_matrices + self.vocabulary_size * self.hidden_size
        return 6 * weights + 12 * self.num_layers * self.num_heads * self.head_size * context

    @property
    def block_parameters(self) -> int:
        """Number of parameters of a block."""
        biases = (
            self.qkv_bias * (self.num_heads + 2 * self.num_kv_heads) * self.head_size
            + self.output_bias * self.hidden_size
            + self.feed_forward_bias
            * (self.intermediate_size * (self._feed_forward_matrices - 1) + self.hidden_size)
        )
        return self.block_matrices + biases + 2 * self._norm_parameters

    @property
    def block_matrices(self) -> int:
        """Number of elements of the matrices of a block."""
        attention = 2 * self.hidden_size * (self.num_heads + self.num_kv_heads) * self.head_size
        return attention + self._feed_forward_matrices * self.hidden_size * self.intermediate_size

    @property
    def _feed_forward_matrices(self) -> int:
        return 3 if self.activation == "swiglu" else 2

    @property
    def _norm_parameters(self) -> int:
        return self.hidden_size * (1 if self.norm == "rms" else 2)


def default_intermediate_size(hidden_size: int) -> int:
    """Return 8/3 of ``hidden_size``, rounded up to a multiple of 64.

    SwiGLU's three matrices then have about as many weights as two of 4 · ``hidden_size`` (Shazeer 2020).
    """
    return -(-8 * hidden_size // (3 * 64)) * 64

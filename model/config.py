"""The shape of a decoder, and what that shape costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

DEFAULT_CONTEXT = 4096
"""Context length in tokens assumed for a model whose configuration states none."""

_RENAMED: Mapping[str, str] = MappingProxyType(
    {
        "layers": "num_layers",
        "width": "hidden_size",
        "heads": "num_heads",
        "kv_heads": "num_kv_heads",
        "hidden": "intermediate_size",
    }
)
"""Names that checkpoints of version 0.1 use, and today's."""


@dataclass(frozen=True, slots=True)
class RopeScaling:
    """Llama 3's way to longer texts: slow rotations are slowed further, fast ones are left alone.

    Rotations that turn less than ``low_frequency_factor`` times within ``original_context`` tokens are slowed
    by ``factor``, those that turn more than ``high_frequency_factor`` times are kept, those between are
    blended.
    """

    factor: float
    low_frequency_factor: float
    high_frequency_factor: float
    original_context: int


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """A decoder of the Llama family (the defaults) or of GPT-2's.

    ``num_kv_heads`` divides ``num_heads``. Heads of rotary positions have an even size.
    """

    vocabulary_size: int
    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    intermediate_size: int
    """Width of the feed-forward layer."""
    rope_theta: float = 10_000.0
    norm_epsilon: float = 1e-5
    tied: bool = True
    """Input and output embeddings share one matrix."""
    head_size: int = 0
    """Channels of one attention head; 0 becomes ``hidden_size`` / ``num_heads``."""
    context: int = 0
    """Tokens of the longest sequence that the model is made for; 0: no limit is known."""
    norm: Literal["rms", "layer"] = "rms"
    positions: Literal["rotary", "learned"] = "rotary"
    """Learned positions are a table of ``context`` rows."""
    activation: Literal["swiglu", "gelu"] = "swiglu"
    qkv_bias: bool = False
    output_bias: bool = False
    """Of the projection that ends attention."""
    feed_forward_bias: bool = False
    rope_scaling: RopeScaling | None = None

    def __post_init__(self) -> None:
        if not self.head_size:
            object.__setattr__(self, "head_size", self.hidden_size // self.num_heads)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TransformerConfig":
        """Rebuild a configuration from the dictionary that :func:`dataclasses.asdict` made of it."""
        known = {_RENAMED.get(name, name): value for name, value in values.items()}
        scaling = known.get("rope_scaling")
        return cls(**{**known, "rope_scaling": RopeScaling(**scaling) if scaling else None})

    @property
    def parameters(self) -> int:
        """How many numbers training adjusts; shared embeddings count once."""
        embeddings = self.vocabulary_size * self.hidden_size * (1 if self.tied else 2)
        positions = self.context * self.hidden_size if self.positions == "learned" else 0
        return embeddings + positions + self.num_layers * self._block_parameters + self._norm_parameters

    def training_flops(self, context: int) -> int:
        """Floating-point operations of one token's forward and backward pass among ``context`` tokens.

        Six per weight that takes part in a matrix product (the input embedding is looked up, not multiplied)
        and 12 · layers · heads · head size · context for attention, as PaLM counts them (Chowdhery et al.
        2022, appendix B): masked-out scores are counted too, recomputed activations are not.
        """
        weights = self.num_layers * self._block_matrices + self.vocabulary_size * self.hidden_size
        return 6 * weights + 12 * self.num_layers * self.num_heads * self.head_size * context

    @property
    def _block_parameters(self) -> int:
        biases = (
            self.qkv_bias * (self.num_heads + 2 * self.num_kv_heads) * self.head_size
            + self.output_bias * self.hidden_size
            + self.feed_forward_bias
            * (self.intermediate_size * (self._feed_forward_matrices - 1) + self.hidden_size)
        )
        return self._block_matrices + biases + 2 * self._norm_parameters

    @property
    def _block_matrices(self) -> int:
        attention = 2 * self.hidden_size * (self.num_heads + self.num_kv_heads) * self.head_size
        return attention + self._feed_forward_matrices * self.hidden_size * self.intermediate_size

    @property
    def _feed_forward_matrices(self) -> int:
        return 3 if self.activation == "swiglu" else 2

    @property
    def _norm_parameters(self) -> int:
        return self.hidden_size * (1 if self.norm == "rms" else 2)


def default_hidden(width: int) -> int:
    """The feed-forward width at which SwiGLU's three matrices weigh as much as two of 4 · ``hidden_size``.

    That is 8/3 of ``hidden_size`` (Shazeer 2020), rounded up to a multiple of 64.
    """
    return -(-8 * width // (3 * 64)) * 64

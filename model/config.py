"""The shape of a decoder, and what that shape costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


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
class ModelConfig:
    """A decoder of the Llama family (the defaults) or of GPT-2's.

    ``kv_heads`` divides ``heads``. Heads of rotary positions have an even size.
    """

    vocabulary_size: int
    layers: int
    width: int
    heads: int
    kv_heads: int
    hidden: int
    """Width of the feed-forward layer."""
    rope_theta: float = 10_000.0
    norm_epsilon: float = 1e-5
    tied: bool = True
    """Input and output embeddings share one matrix."""
    head_size: int = 0
    """Channels of one attention head; 0 becomes ``width`` / ``heads``."""
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
            object.__setattr__(self, "head_size", self.width // self.heads)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ModelConfig":
        """The configuration that :func:`dataclasses.asdict` has taken apart."""
        scaling = values.get("rope_scaling")
        return cls(**{**values, "rope_scaling": RopeScaling(**scaling) if scaling else None})

    @property
    def parameters(self) -> int:
        """How many numbers training adjusts; shared embeddings count once."""
        embeddings = self.vocabulary_size * self.width * (1 if self.tied else 2)
        positions = self.context * self.width if self.positions == "learned" else 0
        return embeddings + positions + self.layers * self._block_parameters + self._norm_parameters

    def training_flops(self, context: int) -> int:
        """Floating-point operations of one token's forward and backward pass among ``context`` tokens.

        Six per weight that takes part in a matrix product (the input embedding is looked up, not multiplied)
        and 12 · layers · heads · head size · context for attention, as PaLM counts them (Chowdhery et al.
        2022, appendix B): masked-out scores are counted too, recomputed activations are not.
        """
        weights = self.layers * self._block_matrices + self.vocabulary_size * self.width
        return 6 * weights + 12 * self.layers * self.heads * self.head_size * context

    @property
    def _block_parameters(self) -> int:
        biases = (
            self.qkv_bias * (self.heads + 2 * self.kv_heads) * self.head_size
            + self.output_bias * self.width
            + self.feed_forward_bias * (self.hidden * (self._feed_forward_matrices - 1) + self.width)
        )
        return self._block_matrices + biases + 2 * self._norm_parameters

    @property
    def _block_matrices(self) -> int:
        attention = 2 * self.width * (self.heads + self.kv_heads) * self.head_size
        return attention + self._feed_forward_matrices * self.width * self.hidden

    @property
    def _feed_forward_matrices(self) -> int:
        return 3 if self.activation == "swiglu" else 2

    @property
    def _norm_parameters(self) -> int:
        return self.width * (1 if self.norm == "rms" else 2)


def default_hidden(width: int) -> int:
    """The feed-forward width at which SwiGLU's three matrices weigh as much as two of 4 · ``width``.

    That is 8/3 of ``width`` (Shazeer 2020), rounded up to a multiple of 64.
    """
    return -(-8 * width // (3 * 64)) * 64

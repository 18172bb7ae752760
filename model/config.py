"""The shape of a decoder, and what that shape costs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A Llama-style decoder.

    ``heads`` divides ``width`` into an even head size; ``kv_heads`` divides ``heads``.
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

    @property
    def head_size(self) -> int:
        """Channels of one attention head."""
        return self.width // self.heads

    @property
    def parameters(self) -> int:
        """How many numbers training adjusts; shared embeddings count once."""
        embeddings = self.vocabulary_size * self.width * (1 if self.tied else 2)
        norms = self.width * (2 * self.layers + 1)
        return embeddings + norms + self.layers * self._block_weights

    def training_flops(self, context: int) -> int:
        """Floating-point operations of one token's forward and backward pass among ``context`` tokens.

        Six per weight that takes part in a matrix product (the input embedding is looked up, not multiplied)
        and 12 · layers · width · context for attention, as PaLM counts them (Chowdhery et al. 2022,
        appendix B): masked-out scores are counted too, recomputed activations are not.
        """
        weights = self.layers * self._block_weights + self.vocabulary_size * self.width
        return 6 * weights + 12 * self.layers * self.width * context

    @property
    def _block_weights(self) -> int:
        attention = 2 * self.width * (self.heads + self.kv_heads) * self.head_size
        return attention + 3 * self.width * self.hidden


def default_hidden(width: int) -> int:
    """The feed-forward width at which SwiGLU's three matrices weigh as much as two of 4 · ``width``.

    That is 8/3 of ``width`` (Shazeer 2020), rounded up to a multiple of 64.
    """
    return -(-8 * width // (3 * 64)) * 64

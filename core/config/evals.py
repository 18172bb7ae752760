"""The section of ``python -m evals``."""

from typing import Literal

from pydantic import Field

from core.config.section import Section


class EvalsConfig(Section):
    """Evaluation of a model."""

    limit: int = Field(default=0, ge=0)
    """Largest number of items of each suite, few-shot examples not counted; 0: the suite's own limit."""
    batch_size: int = Field(default=16, ge=1)
    """Texts that are generated in one batch."""
    batch_tokens: int = Field(default=2048, ge=1)
    """Tokens that are scored in one forward pass; a longer text is a batch of its own."""
    window: int = Field(default=1024, ge=8)
    """Largest context for perplexity, in tokens, unless the suite sets one."""
    bootstrap: int = Field(default=1000, ge=2)
    """Resamples for a confidence interval."""
    seed: int = Field(default=1, ge=0)
    """Seed of resampling, and of sampled text if a suite's temperature is above 0."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the weights."""

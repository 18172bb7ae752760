"""The section of ``python -m evals``."""

from typing import Literal

from pydantic import Field

from core.config.section import Section


class EvalsConfig(Section):
    """``[evals]``: measuring a model."""

    limit: int = Field(default=0, ge=0)
    """Items of each suite at most, above what they are shown as examples; 0: as many as the suite says."""
    batch_size: int = Field(default=16, ge=1)
    """Texts that are generated side by side."""
    batch_tokens: int = Field(default=2048, ge=1)
    """Tokens whose likelihood is computed in one forward pass; a longer text is one by itself."""
    window: int = Field(default=1024, ge=8)
    """The most tokens that perplexity looks back on, where the suite does not say."""
    bootstrap: int = Field(default=1000, ge=2)
    """Resamples behind an interval."""
    seed: int = Field(default=1, ge=0)
    """Of resampling, and of drawn text where a suite's temperature is above 0."""
    precision: Literal["float32", "bfloat16"] = "float32"

"""Architecture of a model from the configuration."""

from core.config import Config
from model.config import TransformerConfig, default_intermediate_size

VARIANT_KEYS = {
    *("head_size", "nope_layers", "qk_norm", "sliding_window", "global_layers"),
    *("attention_softcap", "logit_softcap"),
}
"""Keys of ``[model]`` that :class:`TransformerConfig` has as they are."""


def model_config(config: Config, vocabulary_size: int, sequence_length: int) -> TransformerConfig:
    """Return the architecture of ``[model]`` for tokens and rows of these sizes."""
    section = config.model
    gpt2 = section.architecture == "gpt2"
    default_size = 4 * section.hidden_size if gpt2 else default_intermediate_size(section.hidden_size)
    shape = TransformerConfig(
        vocabulary_size=vocabulary_size,
        num_layers=section.num_layers,
        hidden_size=section.hidden_size,
        num_heads=section.num_heads,
        num_kv_heads=section.num_kv_heads,
        intermediate_size=section.intermediate_size or default_size,
        rope_theta=section.rope_theta,
        norm_epsilon=section.norm_epsilon,
        tied=section.tied,
        dropout=section.dropout,
        **section.model_dump(include=VARIANT_KEYS),
    )
    return shape.as_gpt2(sequence_length) if gpt2 else shape

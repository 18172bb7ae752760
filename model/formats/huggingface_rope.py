"""Translate the settings of rotary positions in ``config.json``, and back."""

from typing import Any

from core.errors import ModelError
from model.config import LinearScaling, Llama3Scaling, RopeScaling, YarnScaling
from model.formats.settings import Settings


def read(settings: Settings) -> tuple[float, RopeScaling | None]:
    """Return base and scaling of the rotary positions; accepts the keys of all versions of the library."""
    merged: dict[str, Any] = {"rope_theta": settings.value("rope_theta")}
    for key in ("rope_scaling", "rope_parameters"):
        if not isinstance(value := settings.value(key) or {}, dict):
            raise ModelError(f"{settings.path}: {key} = {value!r}; must be an object: get the file again")
        merged |= value
    rope = Settings(settings.path, merged)
    theta = rope.number("rope_theta", 10_000.0)
    kind = merged.get("rope_type", merged.get("type", "default"))
    if merged.get("partial_rotary_factor", 1) != 1:
        kind = "part of the channels"
    match kind:
        case "default":
            return theta, None
        case "linear":
            return theta, LinearScaling(rope.number("factor"))
        case "llama3":
            return theta, Llama3Scaling(
                rope.number("factor"),
                rope.number("low_freq_factor"),
                rope.number("high_freq_factor"),
                rope.integer("original_max_position_embeddings"),
            )
        case "yarn" if merged.get("truncate", True):
            return theta, _yarn(rope, settings.integer("max_position_embeddings", 0))
    raise ModelError(
        f"{settings.path}: rotary positions scaled by {kind!r}; only 'linear', 'llama3' and 'yarn' with "
        "rounded bounds are supported: choose another model"
    )


def _yarn(rope: Settings, context: int) -> YarnScaling:
    factor = rope.number("factor")
    attention_factor = YarnScaling.default_attention_factor(factor)
    scales = rope.number("mscale", 0.0), rope.number("mscale_all_dim", 0.0)
    if all(scales):  # DeepSeek's form
        numerator, denominator = ((attention_factor - 1) * scale + 1 for scale in scales)
        attention_factor = numerator / denominator
    return YarnScaling(
        factor,
        rope.integer("original_max_position_embeddings", context),
        rope.number("attention_factor", attention_factor),
        rope.number("beta_fast", 0.0) or 32.0,
        rope.number("beta_slow", 0.0) or 1.0,
    )


def scaling_json(scaling: RopeScaling | None) -> dict[str, Any] | None:
    """Return the value of ``rope_scaling``."""
    match scaling:
        case None:
            return None
        case LinearScaling(factor):
            return {"rope_type": "linear", "factor": factor}
        case Llama3Scaling():
            return {
                "rope_type": "llama3",
                "factor": scaling.factor,
                "low_freq_factor": scaling.low_frequency_factor,
                "high_freq_factor": scaling.high_frequency_factor,
                "original_max_position_embeddings": scaling.original_context,
            }
        case YarnScaling():
            return {
                "rope_type": "yarn",
                "factor": scaling.factor,
                "attention_factor": scaling.attention_factor,
                "beta_fast": scaling.fast_rotations,
                "beta_slow": scaling.slow_rotations,
                "original_max_position_embeddings": scaling.original_context,
            }

"""Rotary position embeddings (RoPE, Su et al. 2021) and their scaling for longer contexts.

Shapes: B batch size, T tokens, H heads, D ``head_size``.
"""

import math

import torch
from torch import Tensor

from model.config import LinearScaling, Llama3Scaling, TransformerConfig, YarnScaling


def rotary_embedding(positions: Tensor, config: TransformerConfig) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of the rotary angles at ``positions``, times YaRN's attention factor.

    ``positions`` is ``[B or 1, T]``; both results are float32 ``[B or 1, 1, T, D/2]``.
    """
    angles = positions[:, None, :, None].float() * frequencies(config, positions.device)
    cosine, sine = angles.cos(), angles.sin()
    if isinstance(scaling := config.rope_scaling, YarnScaling):
        return cosine * scaling.attention_factor, sine * scaling.attention_factor
    return cosine, sine


def frequencies(config: TransformerConfig, device: torch.device | str = "cpu") -> Tensor:
    """Return the frequency of each channel pair in radians per token, float32 ``[D/2]``."""
    size = config.head_size
    exponents = torch.arange(0, size, 2, device=device, dtype=torch.float32) / size
    unscaled = 1.0 / config.rope_theta**exponents
    match config.rope_scaling:
        case LinearScaling(factor):
            return unscaled / factor
        case Llama3Scaling() as scaling:
            unscaled_share = _llama3_unscaled_share(unscaled, scaling)
            return torch.lerp(unscaled / scaling.factor, unscaled, unscaled_share)
        case YarnScaling() as scaling:
            return torch.lerp(
                unscaled, unscaled / scaling.factor, _yarn_scaled_share(config, scaling, device)
            )
        case None:
            return unscaled


def _llama3_unscaled_share(frequencies: Tensor, scaling: Llama3Scaling) -> Tensor:
    """Return the share of each unscaled frequency in the interpolation, linear in its rotations."""
    rotations = frequencies * (scaling.original_context / (2 * math.pi))
    share = (rotations - scaling.low_frequency_factor) / (
        scaling.high_frequency_factor - scaling.low_frequency_factor
    )
    return share.clamp(0, 1)


def _yarn_scaled_share(config: TransformerConfig, scaling: YarnScaling, device: torch.device | str) -> Tensor:
    """Return the share of each scaled frequency in the interpolation, linear in the index of its pair.

    The bounds are rounded outwards, and the upper one limited by the channels instead of the pairs, as in
    the paper's code.
    """

    def pair(rotations: float) -> float:
        """Return the fractional index of the pair that rotates so often within the original context."""
        wavelength = scaling.original_context / rotations
        return config.head_size * math.log(wavelength / (2 * math.pi)) / (2 * math.log(config.rope_theta))

    first = max(math.floor(pair(scaling.fast_rotations)), 0)
    last = min(math.ceil(pair(scaling.slow_rotations)), config.head_size - 1)
    indices = torch.arange(config.head_size // 2, device=device, dtype=torch.float32)
    return ((indices - first) / max(last - first, 0.001)).clamp(0, 1)


def apply_rotary(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate channel pairs (i, i + D/2) of ``[B, H, T, D]``; computed in float32, returned in x's dtype."""
    first, second = x.float().chunk(2, dim=-1)
    rotated = torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)
    return rotated.to(x.dtype)

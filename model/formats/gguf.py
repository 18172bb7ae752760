"""Read GGUF, the model format of llama.cpp: dequantized weights, configuration and metadata.

The ``gguf`` package from llama.cpp's repository parses and dequantizes; this module translates its metadata
to a :class:`TransformerConfig` and its tensors to our state dict.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gguf
import torch
from torch import Tensor

from core.errors import ModelError
from model.config import LinearScaling, Llama3Scaling, TransformerConfig, YarnScaling
from model.formats import state_dict_adapter
from model.formats.state_dict_adapter import NameMap
from model.rotary import frequencies

GPT2, LLAMA, QWEN2, QWEN3, SMOLLM3 = "gpt2", "llama", "qwen2", "qwen3", "smollm3"
GEMMA, GEMMA2 = "gemma", "gemma2"
ARCHITECTURES = (GPT2, LLAMA, QWEN2, QWEN3, SMOLLM3, GEMMA, GEMMA2)
"""Values of ``general.architecture``."""
PERMUTED = (LLAMA, SMOLLM3)
"""Architectures in which llama.cpp rotates neighbouring channels, so that queries and keys are stored
reordered."""
GEMMA2_27B_LAYERS = 46
"""llama.cpp knows the 27B model, whose attention scores have another scale, by its number of layers."""
EMBEDDING = "token_embd.weight"
ROPE_FREQUENCIES = "rope_freqs.weight"
LLAMA3_SCALINGS = (Llama3Scaling(8.0, 1.0, 4.0, 8192), Llama3Scaling(32.0, 1.0, 4.0, 8192))
"""Scaling of Llama 3.1 and 3.2. GGUF stores only its effect on each frequency, as a tensor."""
OTHER_YARN_KEYS = ("rope.scaling.attn_factor", "rope.scaling.yarn_log_multiplier")
REQUIRED_SIZES = ("block_count", "embedding_length", "attention.head_count", "feed_forward_length")


@dataclass(frozen=True, slots=True)
class GgufModel:
    """Content of a GGUF file."""

    config: TransformerConfig
    state: dict[str, Tensor]
    """State dict with our parameter names, float32."""
    metadata: dict[str, Any]
    """All fields: ``tokenizer.ggml.tokens``, ``tokenizer.chat_template``, ``general.name`` and so on."""


def read(path: Path) -> GgufModel:
    """Read a GGUF file; weights are dequantized to float32 one by one.

    Raises :class:`ModelError` for damaged files and unsupported models.
    """
    try:
        reader = gguf.GGUFReader(path)
        metadata = {name: field.contents() for name, field in reader.fields.items()}
        tensors = {tensor.name: _dequantize(tensor) for tensor in reader.tensors}
    except NotImplementedError as error:  # the package knows the quantization, but cannot undo it
        raise ModelError(f"{path}: {error}; choose a file with another quantization") from None
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise ModelError(
            f"{path}: not a complete GGUF file ({' '.join(str(error).split())[:100]}); download it again"
        ) from None
    config = read_config(path, metadata, tensors)
    architecture = metadata["general.architecture"]
    state = state_dict_adapter.from_foreign(name_map(architecture), config, tensors, path)
    if architecture in PERMUTED:
        state = _unpermute_rotary(config, state)
    return GgufModel(config, shift_norms(config, state, -1), metadata)


def name_map(architecture: str) -> NameMap:
    """Return the tensor names of an architecture."""
    return state_dict_adapter.GGUF_GPT2 if architecture == GPT2 else state_dict_adapter.GGUF_LLAMA


def _dequantize(tensor: Any) -> Tensor:
    """Return a tensor as float32, ``[out, in]`` or ``[out]``; a copy, so that the file can be unmapped."""
    return torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).astype("float32"))


def read_config(path: Path, metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> TransformerConfig:
    """Translate the metadata of the file at ``path``, by the tensors that it has.

    Raises :class:`ModelError` for unsupported models.
    """
    architecture = metadata.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise ModelError(
            f"{path}: architecture {architecture!r}; supported are {', '.join(ARCHITECTURES)}: choose such a "
            "model"
        )
    values = {key.removeprefix(f"{architecture}."): value for key, value in metadata.items()}
    _check_values(path, architecture, values, tensors)
    gpt2 = architecture == GPT2
    epsilon = values.get(f"attention.layer_norm_{'' if gpt2 else 'rms_'}epsilon", 1e-5)
    num_heads = values["attention.head_count"]
    config = TransformerConfig(
        vocabulary_size=tensors[EMBEDDING].shape[0],
        num_layers=values["block_count"],
        hidden_size=values["embedding_length"],
        num_heads=num_heads,
        num_kv_heads=values.get("attention.head_count_kv", num_heads),
        intermediate_size=values["feed_forward_length"],
        rope_theta=values.get("rope.freq_base", 10_000.0),
        norm_epsilon=_shortest_decimal(epsilon),
        tied="output.weight" not in tensors or torch.equal(tensors["output.weight"], tensors[EMBEDDING]),
        head_size=values.get("attention.key_length", 0),
        context=values.get("context_length", 0),
        norm="layer" if gpt2 else "rms",
        qk_norm=architecture == QWEN3,
        positions="learned" if gpt2 else "rotary",
        activation="gelu" if gpt2 else "swiglu",
        qkv_bias=gpt2 or "blk.0.attn_q.bias" in tensors,
        output_bias="blk.0.attn_output.bias" in tensors,
        feed_forward_bias="blk.0.ffn_up.bias" in tensors,
    )
    config = replace(config, **_family(architecture, values, config))
    return config if gpt2 else _with_rope_scaling(path, config, values, tensors)


def _family(architecture: str, values: Mapping[str, Any], config: TransformerConfig) -> dict[str, Any]:
    """Return the fields that are particular to an architecture in llama.cpp."""
    layers = range(config.num_layers)
    if architecture == SMOLLM3:
        return {"nope_layers": tuple(layer for layer in layers if layer % 4 == 3)}
    if architecture not in (GEMMA, GEMMA2):
        return {}
    scale = math.sqrt(config.hidden_size)
    gemma = {"zero_centered_norm": True, "activation": "geglu", "embedding_scale": scale}
    if architecture == GEMMA:
        return gemma
    scalar = config.hidden_size / config.num_heads if len(layers) == GEMMA2_27B_LAYERS else 0.0
    return gemma | {
        "post_norms": True,
        "attention_softcap": values.get("attn_logit_softcapping") or 50.0,
        "logit_softcap": values.get("final_logit_softcapping") or 30.0,
        "sliding_window": values.get("attention.sliding_window") or 4096,
        "global_layers": tuple(layer for layer in layers if layer % 2),
        "query_scalar": 0.0 if scalar == config.head_size else scalar,
    }


def shift_norms(config: TransformerConfig, state: Mapping[str, Tensor], offset: int) -> dict[str, Tensor]:
    """Add ``offset`` to the weights of zero-centered norms: GGUF stores what they multiply by, in float32."""
    is_shifted = config.zero_centered_norm
    return {
        name: weight.float() + offset if is_shifted and name.endswith("norm.weight") else weight
        for name, weight in state.items()
    }


def _check_values(
    path: Path, architecture: str, values: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    for key in (*REQUIRED_SIZES, "attention.head_count_kv"):
        value = values.get(key, 0 if key in REQUIRED_SIZES else 1)
        if not isinstance(value, int) or value < 1:
            raise ModelError(
                f"{path}: {architecture}.{key} = {str(value)[:60]}; must be a number above 0: choose another "
                "model"
            )
    if EMBEDDING not in tensors:
        raise ModelError(f"{path}: has no {EMBEDDING}, which every model needs; get the whole file")
    theta = values.get("rope.freq_base", 10_000.0)
    for key, supported in (("attention.sliding_window_pattern", 2), ("rope.freq_base_swa", theta)):
        if values.get(key, supported) != supported:
            raise ModelError(
                f"{path}: {architecture}.{key} = {str(values[key])[:60]}; only {supported} is supported: "
                "choose another model"
            )
    if values.get("expert_count"):
        raise ModelError(
            f"{path}: {values['expert_count']} experts; only dense models are supported: choose one"
        )


def _with_rope_scaling(
    path: Path, config: TransformerConfig, values: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> TransformerConfig:
    """Return the configuration with its rotary scaling."""
    if values.get("rope.dimension_count", config.head_size) != config.head_size:
        raise ModelError(
            f"{path}: rotates {values['rope.dimension_count']} of {config.head_size} channels; only all are "
            "supported: choose another model"
        )
    match values.get("rope.scaling.type", "none"):
        case "none" if ROPE_FREQUENCIES in tensors:
            return _with_llama3_scaling(path, config, tensors[ROPE_FREQUENCIES])
        case "none":
            return config
        case "linear":
            return replace(config, rope_scaling=LinearScaling(_scaling_factor(path, values)))
        case "yarn" if (
            "rope.scaling.attn_factor" not in values and "rope.scaling.yarn_log_multiplier" not in values
        ):
            return replace(config, rope_scaling=_yarn(_scaling_factor(path, values), config.context, values))
    raise ModelError(
        f"{path}: rotary positions scaled by {values['rope.scaling.type']!r}; only linear scaling, that of "
        "Llama 3, and YaRN with its own attention factor are supported: choose another model"
    )


def _scaling_factor(path: Path, values: Mapping[str, Any]) -> float:
    factor = values.get("rope.scaling.factor")
    if not isinstance(factor, float) or factor <= 0:
        raise ModelError(f"{path}: rope.scaling.factor = {factor!r}; must be above 0: choose another model")
    return factor


def _yarn(factor: float, context: int, values: Mapping[str, Any]) -> YarnScaling:
    return YarnScaling(
        factor,
        values.get("rope.scaling.original_context_length", context),
        YarnScaling.default_attention_factor(factor),
        values.get("rope.scaling.yarn_beta_fast", 32.0),
        values.get("rope.scaling.yarn_beta_slow", 1.0),
    )


def _with_llama3_scaling(path: Path, config: TransformerConfig, factors: Tensor) -> TransformerConfig:
    unscaled = frequencies(config)
    for scaling in (None, *LLAMA3_SCALINGS):
        scaled = replace(config, rope_scaling=scaling)
        if torch.allclose(unscaled / frequencies(scaled), factors, rtol=1e-3):
            return scaled
    raise ModelError(
        f"{path}: {ROPE_FREQUENCIES} is neither Llama 3.1's nor 3.2's; import the model's Hugging Face folder"
    )


def _shortest_decimal(value: float) -> float:
    """Return the short decimal that was stored as a 32-bit float."""
    return float(f"{value:.6g}")


def _unpermute_rotary(config: TransformerConfig, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Restore the channel order of queries and keys.

    llama.cpp rotates neighbouring channels (2i, 2i + 1) of Llama and reorders the weights for that; ours
    rotates (i, i + d/2).
    """
    return _reorder_rotary(state, config.head_size // 2, 2)


def permute_rotary(config: TransformerConfig, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict with queries and keys in llama.cpp's channel order."""
    return _reorder_rotary(state, 2, config.head_size // 2)


def _reorder_rotary(state: dict[str, Tensor], outer: int, inner: int) -> dict[str, Tensor]:
    """Transpose the channels ``[outer, inner]`` of each head's queries and keys."""
    result = dict(state)
    for name, tensor in state.items():
        if ".attention.query." in name or ".attention.key." in name:
            channels = tensor.view(-1, outer, inner, *tensor.shape[1:])
            result[name] = channels.transpose(1, 2).reshape(tensor.shape)
    return result

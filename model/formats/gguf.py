"""Read GGUF, the model format of llama.cpp: dequantized weights, configuration and metadata.

The ``gguf`` package from llama.cpp's repository parses and dequantizes; this module translates its metadata
to a :class:`TransformerConfig` and its tensors to our state dict.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gguf
import torch
from torch import Tensor

from core.errors import ModelError
from model.config import Llama3Scaling, TransformerConfig
from model.formats import state_dict_adapter
from model.rotary import frequencies

EMBEDDING = "token_embd.weight"
ROPE_FREQUENCIES = "rope_freqs.weight"
LLAMA3_SCALINGS = (Llama3Scaling(8.0, 1.0, 4.0, 8192), Llama3Scaling(32.0, 1.0, 4.0, 8192))
"""Scaling of Llama 3.1 and 3.2. GGUF stores only its effect on each frequency, as a tensor."""
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
    config = _config(path, metadata, tensors)
    names = state_dict_adapter.GGUF_GPT2 if config.positions == "learned" else state_dict_adapter.GGUF_LLAMA
    state = state_dict_adapter.from_foreign(names, config, tensors, path)
    return GgufModel(config, _unpermute_rotary(config, state), metadata)


def _dequantize(tensor: Any) -> Tensor:
    """Return a tensor as float32, ``[out, in]`` or ``[out]``; a copy, so that the file can be unmapped."""
    return torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).astype("float32"))


def _config(path: Path, metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> TransformerConfig:
    architecture = metadata.get("general.architecture")
    if architecture not in ("llama", "gpt2"):
        raise ModelError(
            f"{path}: architecture {architecture!r}; only llama and gpt2 are supported: choose such a model"
        )
    values = {key.removeprefix(f"{architecture}."): value for key, value in metadata.items()}
    _check_values(path, architecture, values, tensors)
    llama = architecture == "llama"
    epsilon = values.get(f"attention.layer_norm_{'rms_' if llama else ''}epsilon", 1e-5)
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
        tied=torch.equal(tensors.get("output.weight", tensors[EMBEDDING]), tensors[EMBEDDING]),
        head_size=values.get("attention.key_length", 0),
        context=values.get("context_length", 0),
        norm="rms" if llama else "layer",
        positions="rotary" if llama else "learned",
        activation="swiglu" if llama else "gelu",
        qkv_bias=not llama or "blk.0.attn_q.bias" in tensors,
        output_bias="blk.0.attn_output.bias" in tensors,
        feed_forward_bias="blk.0.ffn_up.bias" in tensors,
    )
    return _with_rope_scaling(path, config, values, tensors) if llama else config


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
    if values.get("rope.scaling.type", "none") != "none":
        raise ModelError(
            f"{path}: rotary positions scaled by {values['rope.scaling.type']!r}; only Llama 3's scaling is "
            "supported: choose another model"
        )
    if ROPE_FREQUENCIES not in tensors:
        return config
    unscaled = frequencies(config)
    for scaling in (None, *LLAMA3_SCALINGS):
        scaled = replace(config, rope_scaling=scaling)
        if torch.allclose(unscaled / frequencies(scaled), tensors[ROPE_FREQUENCIES], rtol=1e-3):
            return scaled
    raise ModelError(
        f"{path}: {ROPE_FREQUENCIES} is neither Llama 3.1's nor 3.2's; import the model's Hugging Face folder"
    )


def _shortest_decimal(value: float) -> float:
    """Return the short decimal that was stored as a 32-bit float."""
    return float(f"{value:.6g}")


def _unpermute_rotary(config: TransformerConfig, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Restore the channel order of queries and keys.

    llama.cpp rotates neighbouring channels (2i, 2i + 1) and reorders the weights for that; ours rotates
    (i, i + d/2).
    """
    if config.positions != "rotary":
        return state
    for name, tensor in state.items():
        if ".attention.query." in name or ".attention.key." in name:
            pairs = tensor.view(-1, config.head_size // 2, 2, *tensor.shape[1:])
            state[name] = pairs.transpose(1, 2).reshape(tensor.shape)
    return state

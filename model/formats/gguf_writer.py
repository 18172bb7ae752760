"""Write GGUF files for llama.cpp: all supported families, with the tokenizer.

Inverse of :mod:`model.formats.gguf`. Sliding windows of Mistral and Qwen cannot be written. Matrices get the
dtype of the file; vectors, and GPT-2's positions, stay float32, as llama.cpp's converter has them.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import gguf as library
import torch
from gguf import GGMLQuantizationType, LlamaFileType
from torch import Tensor

from core.errors import ModelError
from model.config import LinearScaling, Llama3Scaling, TransformerConfig, YarnScaling
from model.formats import gguf, state_dict_adapter
from model.formats.gguf import GEMMA, GEMMA2, GPT2, LLAMA, PERMUTED, QWEN2, QWEN3, SMOLLM3
from model.rotary import frequencies

DTYPES: dict[str, tuple[GGMLQuantizationType, LlamaFileType]] = {
    "float32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "float16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "bfloat16": (GGMLQuantizationType.BF16, LlamaFileType.MOSTLY_BF16),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}
"""Name of a dtype -> dtype of the matrices, and type of the file."""
ALL_BIASES = {"qkv_bias", "output_bias", "feed_forward_bias"}
BIASES = {GPT2: ALL_BIASES, LLAMA: ALL_BIASES, QWEN2: {"qkv_bias"}}
"""Biases that llama.cpp knows, by architecture; the others have none."""
BLOCK = 32
"""Values that Q8_0 quantizes together; matrices with other row lengths become float16."""


def metadata(config: TransformerConfig) -> dict[str, Any]:
    """Return the fields that describe the architecture.

    Raises :class:`ModelError` for an architecture that llama.cpp does not have.
    """
    architecture = _architecture(config)
    values: dict[str, Any] = {
        "block_count": config.num_layers,
        "context_length": config.context,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_heads,
        "attention.head_count_kv": config.num_kv_heads,
    }
    if architecture == GPT2:
        values["attention.layer_norm_epsilon"] = config.norm_epsilon
    else:
        values |= {
            "attention.layer_norm_rms_epsilon": config.norm_epsilon,
            "attention.key_length": config.head_size,
            "attention.value_length": config.head_size,
            "rope.dimension_count": config.head_size,
            "rope.freq_base": config.rope_theta,
            **_scaling(config),
        }
    if architecture == GEMMA2:
        values |= {
            "attention.sliding_window": config.sliding_window,
            "attn_logit_softcapping": config.attention_softcap,
            "final_logit_softcapping": config.logit_softcap,
        }
    result = {f"{architecture}.{key}": value for key, value in values.items()}
    result["general.architecture"] = architecture
    _check(config, result)
    return result


def check_range(state: Mapping[str, Tensor], dtype: str) -> None:
    """Raise :class:`ModelError` for weights that are too large for ``float16``."""
    for name, weight in state.items():
        if dtype == "float16" and weight.abs().max() > torch.finfo(torch.float16).max:
            raise ModelError(f"{name}: has weights too large for float16; choose bfloat16")


def write(
    path: Path,
    config: TransformerConfig,
    state: Mapping[str, Tensor],
    tokenizer: Mapping[str, Any],
    dtype: str,
    name: str,
) -> None:
    """Write a file; ``dtype`` is a key of :data:`DTYPES`, ``tokenizer`` holds the tokenizer's fields.

    Raises :class:`ModelError` for an architecture that llama.cpp does not have.
    """
    kind, file_type = DTYPES[dtype]
    values = metadata(config)
    writer = library.GGUFWriter(path, values.pop("general.architecture"))
    writer.add_name(name)
    writer.add_file_type(file_type)
    writer.add_quantization_version(library.GGML_QUANT_VERSION)
    for key, value in (values | dict(tokenizer)).items():
        _add(writer, key, value)
    for tensor_name, tensor in _tensors(config, state).items():
        keeps = tensor.ndim < 2 or tensor_name.startswith("position_embd")
        _add_tensor(writer, tensor_name, tensor, GGMLQuantizationType.F32 if keeps else kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _architecture(config: TransformerConfig) -> str:
    """Return the closest architecture of llama.cpp."""
    if config.positions == "learned":
        return GPT2
    if config.zero_centered_norm:
        return GEMMA2 if config.post_norms else GEMMA
    if config.nope_layers:
        return SMOLLM3
    if config.qk_norm:
        return QWEN3
    return QWEN2 if config.qkv_bias and not config.output_bias else LLAMA


def _check(config: TransformerConfig, values: Mapping[str, Any]) -> None:
    """Raise :class:`ModelError` unless the fields describe all of the configuration."""
    with torch.device("meta"):
        shapes = {
            name: torch.empty(shape)
            for name, shape in state_dict_adapter.parameter_shapes(config).items()
            if name != "output.weight"
        }
    names = gguf.name_map(str(values["general.architecture"]))
    if missing := [name for name in shapes if not names.has(name)]:
        raise ModelError(f"{missing[0]}: llama.cpp has no such architecture; export a Hugging Face folder")
    tensors = {names.foreign_name(name): each for name, each in shapes.items()} | _rope_factors(config)
    described = gguf.read_config(Path("model.gguf"), values, tensors)
    described = replace(described, dropout=config.dropout)
    if not config.zero_centered_norm:  # llama.cpp has no Gemma with an output layer of its own
        described = replace(described, tied=config.tied)
    biases = BIASES.get(str(values["general.architecture"]), set())
    for field in fields(config):
        value = getattr(config, field.name)
        unknown_bias = value and field.name in ALL_BIASES - biases
        if unknown_bias or value != getattr(described, field.name):
            raise ModelError(
                f"{field.name} = {value!r}: llama.cpp has no such architecture; export a Hugging Face folder"
            )


def _scaling(config: TransformerConfig) -> dict[str, Any]:
    """Return the fields of linear scaling and YaRN; Llama 3's scaling is a tensor."""
    match config.rope_scaling:
        case LinearScaling(factor):
            return {"rope.scaling.type": "linear", "rope.scaling.factor": factor}
        case YarnScaling() as scaling:
            return {
                "rope.scaling.type": "yarn",
                "rope.scaling.factor": scaling.factor,
                "rope.scaling.original_context_length": scaling.original_context,
                "rope.scaling.yarn_beta_fast": scaling.fast_rotations,
                "rope.scaling.yarn_beta_slow": scaling.slow_rotations,
            }
    return {}


def _rope_factors(config: TransformerConfig) -> dict[str, Tensor]:
    """Return the tensor of Llama 3's scaling: what divides each frequency."""
    if not isinstance(config.rope_scaling, Llama3Scaling):
        return {}
    return {gguf.ROPE_FREQUENCIES: frequencies(replace(config, rope_scaling=None)) / frequencies(config)}


def _tensors(config: TransformerConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors by their names in GGUF."""
    architecture = _architecture(config)
    stored = gguf.shift_norms(config, state, 1)
    if architecture in PERMUTED:
        stored = gguf.permute_rotary(config, stored)
    return state_dict_adapter.to_foreign(gguf.name_map(architecture), config, stored) | _rope_factors(config)


def _add(writer: library.GGUFWriter, key: str, value: Any) -> None:
    """Add a field of the type that llama.cpp expects of it."""
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def _add_tensor(writer: library.GGUFWriter, name: str, tensor: Tensor, kind: GGMLQuantizationType) -> None:
    data = tensor.float().cpu().numpy()
    if kind == GGMLQuantizationType.F32:
        writer.add_tensor(name, data)
        return
    if kind == GGMLQuantizationType.Q8_0 and data.shape[-1] % BLOCK:
        kind = GGMLQuantizationType.F16
    writer.add_tensor(name, library.quantize(data, kind), raw_dtype=kind)

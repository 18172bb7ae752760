"""Reading GGUF, the file format of llama.cpp: weights, dequantized, with configuration and tokenizer.

The ``gguf`` package of llama.cpp's own repository reads and dequantizes; here its fields become a
:class:`TransformerConfig` and its tensors ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gguf
import torch
from torch import Tensor

from core.errors import ModelError
from model.config import RopeScaling, TransformerConfig
from model.formats import state_dict_adapter
from model.transformer import rotary_embedding

EMBEDDING = "token_embd.weight"
ROPE_FREQUENCIES = "rope_freqs.weight"
LLAMA3_SCALINGS = (RopeScaling(8.0, 1.0, 4.0, 8192), RopeScaling(32.0, 1.0, 4.0, 8192))
"""Of Llama 3.1 and of 3.2. GGUF keeps only their effect on each frequency, as a tensor."""
REQUIRED = ("block_count", "embedding_length", "attention.head_count", "feed_forward_length")


@dataclass(frozen=True, slots=True)
class Gguf:
    """What one file holds."""

    config: TransformerConfig
    state: dict[str, Tensor]
    """Parameters by our names, float32."""
    fields: dict[str, Any]
    """The metadata: ``tokenizer.ggml.tokens``, ``tokenizer.chat_template``, ``general.name`` and so on."""


def read(path: Path) -> Gguf:
    """Read a whole file; its weights are dequantized one by one, to float32.

    Raises :class:`ModelError` for a file that is damaged or holds another kind of model.
    """
    try:
        reader = gguf.GGUFReader(path)
        fields = {name: field.contents() for name, field in reader.fields.items()}
        tensors = {each.name: _dequantized(each) for each in reader.tensors}
    except NotImplementedError as error:
        raise ModelError(f"{path}: {error}; choose a file of another quantization") from None
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise ModelError(
            f"{path}: not a whole GGUF file ({' '.join(str(error).split())[:100]}); download it again"
        ) from None
    config = _config(path, fields, tensors)
    table = state_dict_adapter.GGUF_GPT2 if config.positions == "learned" else state_dict_adapter.GGUF_LLAMA
    state = state_dict_adapter.inward(table, config, tensors, path)
    return Gguf(config, _unpermuted(config, state), fields)


def _dequantized(tensor: Any) -> Tensor:
    """One tensor as float32, ``[out, in]`` or ``[out]``. A copy: the file's pages need not stay mapped."""
    return torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).astype("float32"))


def _config(path: Path, fields: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> TransformerConfig:
    kind = fields.get("general.architecture")
    if kind not in ("llama", "gpt2"):
        raise ModelError(f"{path}: architecture {kind!r}; only llama and gpt2 are known: choose such a model")
    own = {key.removeprefix(f"{kind}."): value for key, value in fields.items()}
    for key in (*REQUIRED, "attention.head_count_kv"):
        value = own.get(key, 0 if key in REQUIRED else 1)
        if not isinstance(value, int) or value < 1:
            raise ModelError(
                f"{path}: {kind}.{key} = {str(value)[:60]}; must be a number above 0: choose another model"
            )
    if EMBEDDING not in tensors:
        raise ModelError(f"{path}: has no {EMBEDDING}, as every model has; get the whole file")
    if own.get("expert_count"):
        raise ModelError(f"{path}: {own['expert_count']} experts; only dense models are known: choose one")
    heads = own["attention.head_count"]
    llama = kind == "llama"
    config = TransformerConfig(
        vocabulary_size=tensors[EMBEDDING].shape[0],
        num_layers=own["block_count"],
        hidden_size=own["embedding_length"],
        num_heads=heads,
        num_kv_heads=own.get("attention.head_count_kv", heads),
        intermediate_size=own["feed_forward_length"],
        rope_theta=own.get("rope.freq_base", 10_000.0),
        norm_epsilon=_shortest(own.get(f"attention.layer_norm_{'rms_' if llama else ''}epsilon", 1e-5)),
        tied=torch.equal(tensors.get("output.weight", tensors[EMBEDDING]), tensors[EMBEDDING]),
        head_size=own.get("attention.key_length", 0),
        context=own.get("context_length", 0),
        norm="rms" if llama else "layer",
        positions="rotary" if llama else "learned",
        activation="swiglu" if llama else "gelu",
        qkv_bias=not llama or "blk.0.attn_q.bias" in tensors,
        output_bias="blk.0.attn_output.bias" in tensors,
        feed_forward_bias="blk.0.ffn_up.bias" in tensors,
    )
    return _with_rotation(path, config, own, tensors) if llama else config


def _with_rotation(
    path: Path, config: TransformerConfig, own: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> TransformerConfig:
    """The configuration with its rotary scaling."""
    if own.get("rope.dimension_count", config.head_size) != config.head_size:
        raise ModelError(
            f"{path}: rotates {own['rope.dimension_count']} of {config.head_size} channels; only all are "
            "known: choose another model"
        )
    if own.get("rope.scaling.type", "none") != "none":
        raise ModelError(
            f"{path}: positions scaled by {own['rope.scaling.type']!r}; only Llama 3's way is known: choose "
            "another model"
        )
    if ROPE_FREQUENCIES not in tensors:
        return config
    plain = _speeds(config)
    for scaling in (None, *LLAMA3_SCALINGS):
        scaled = replace(config, rope_scaling=scaling)
        if torch.allclose(plain / _speeds(scaled), tensors[ROPE_FREQUENCIES], rtol=1e-3):
            return scaled
    raise ModelError(
        f"{path}: {ROPE_FREQUENCIES} is neither Llama 3.1's nor 3.2's; import the model's Hugging Face folder"
    )


def _speeds(config: TransformerConfig) -> Tensor:
    """Radians per token of each pair of channels."""
    cosine, sine = rotary_embedding(torch.ones(1, 1, dtype=torch.int64), config)
    return torch.atan2(sine, cosine).flatten()


def _shortest(value: float) -> float:
    """The decimal that was meant by a number stored in 32 bits."""
    return float(f"{value:.6g}")


def _unpermuted(config: TransformerConfig, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Undo llama.cpp's order of the rotated channels.

    It turns neighbours (2i, 2i + 1) where we turn (i, i + d/2), and has reordered queries and keys for that.
    """
    if config.positions != "rotary":
        return state
    for name, tensor in state.items():
        if ".attention.query." in name or ".attention.key." in name:
            pairs = tensor.view(-1, config.head_size // 2, 2, *tensor.shape[1:])
            state[name] = pairs.transpose(1, 2).reshape(tensor.shape)
    return state

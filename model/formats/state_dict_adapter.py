"""Translate state dicts between foreign parameter names and layouts and our own.

A :class:`NameMap` maps each module of a foreign checkpoint to ours; ``#`` is the index of a block. A foreign
module that maps to several of ours holds their matrices concatenated along the output axis.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from core.errors import ModelError
from model.config import TransformerConfig
from model.transformer import Transformer

QKV = "blocks.#.attention.query blocks.#.attention.key blocks.#.attention.value"


@dataclass(frozen=True)
class NameMap:
    """Module names and matrix layout of one model family in one format."""

    modules: Mapping[str, str]
    """Foreign module -> our modules, separated by spaces."""
    transposed: frozenset[str] = frozenset()
    """Foreign modules whose matrices are stored ``[in, out]``."""
    prefix: str = ""
    """Common prefix of the foreign names, which some files omit."""
    ignored: str = r"(?!)"
    """Pattern of foreign tensors that follow from the configuration and are not read."""

    @cached_property
    def foreign_modules(self) -> dict[str, str]:
        """Our module -> foreign module."""
        return {own: foreign for foreign, several in self.modules.items() for own in several.split()}

    def has(self, name: str) -> bool:
        """True if there is a foreign name of our parameter ``name``."""
        return _generic(name).rpartition(".")[0] in self.foreign_modules

    def foreign_name(self, name: str) -> str:
        """Return the foreign name of our parameter or module ``name``."""
        module, dot, parameter = name.rpartition(".")
        if parameter not in ("weight", "bias"):
            module, dot, parameter = name, "", ""
        block = "".join(re.findall(r"\.(\d+)\.", module))
        return self.foreign_modules[_generic(module)].replace("#", block) + dot + parameter


LLAMA = NameMap(
    {
        "model.embed_tokens": "embedding",
        "model.layers.#.input_layernorm": "blocks.#.attention_norm",
        "model.layers.#.self_attn.q_proj": "blocks.#.attention.query",
        "model.layers.#.self_attn.k_proj": "blocks.#.attention.key",
        "model.layers.#.self_attn.v_proj": "blocks.#.attention.value",
        "model.layers.#.self_attn.q_norm": "blocks.#.attention.query_norm",
        "model.layers.#.self_attn.k_norm": "blocks.#.attention.key_norm",
        "model.layers.#.self_attn.o_proj": "blocks.#.attention.output",
        "model.layers.#.post_attention_layernorm": "blocks.#.feed_forward_norm",
        "model.layers.#.mlp.gate_proj": "blocks.#.feed_forward.gate",
        "model.layers.#.mlp.up_proj": "blocks.#.feed_forward.up",
        "model.layers.#.mlp.down_proj": "blocks.#.feed_forward.down",
        "model.norm": "norm",
        "lm_head": "output",
    },
    prefix="model.",
    ignored=r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq",
)
"""All families but GPT-2 and Gemma 2 in Hugging Face format."""

GEMMA2 = replace(
    LLAMA,
    modules={
        **LLAMA.modules,
        "model.layers.#.post_attention_layernorm": "blocks.#.attention_post_norm",
        "model.layers.#.pre_feedforward_layernorm": "blocks.#.feed_forward_norm",
        "model.layers.#.post_feedforward_layernorm": "blocks.#.feed_forward_post_norm",
    },
)
"""Gemma 2 in Hugging Face format: Llama's name of a norm before the feed-forward layer is another norm's."""

GPT2 = NameMap(
    {
        "transformer.wte": "embedding",
        "transformer.wpe": "positions",
        "transformer.h.#.ln_1": "blocks.#.attention_norm",
        "transformer.h.#.attn.c_attn": QKV,
        "transformer.h.#.attn.c_proj": "blocks.#.attention.output",
        "transformer.h.#.ln_2": "blocks.#.feed_forward_norm",
        "transformer.h.#.mlp.c_fc": "blocks.#.feed_forward.up",
        "transformer.h.#.mlp.c_proj": "blocks.#.feed_forward.down",
        "transformer.ln_f": "norm",
        "lm_head": "output",
    },
    transposed=frozenset(
        f"transformer.h.#.{module}" for module in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    ),
    prefix="transformer.",
    ignored=r"transformer\.h\.\d+\.attn\.(masked_)?bias",
)
"""GPT-2 in Hugging Face format, whose matrices originate from TensorFlow's 1×1 convolutions."""

GGUF_LLAMA = NameMap(
    {
        "token_embd": "embedding",
        "blk.#.attn_norm": "blocks.#.attention_norm",
        "blk.#.attn_q": "blocks.#.attention.query",
        "blk.#.attn_k": "blocks.#.attention.key",
        "blk.#.attn_v": "blocks.#.attention.value",
        "blk.#.attn_q_norm": "blocks.#.attention.query_norm",
        "blk.#.attn_k_norm": "blocks.#.attention.key_norm",
        "blk.#.attn_output": "blocks.#.attention.output",
        "blk.#.post_attention_norm": "blocks.#.attention_post_norm",
        "blk.#.ffn_norm": "blocks.#.feed_forward_norm",
        "blk.#.ffn_gate": "blocks.#.feed_forward.gate",
        "blk.#.ffn_up": "blocks.#.feed_forward.up",
        "blk.#.ffn_down": "blocks.#.feed_forward.down",
        "blk.#.post_ffw_norm": "blocks.#.feed_forward_post_norm",
        "output_norm": "norm",
        "output": "output",
    },
    ignored=r"rope_freqs\.weight",
)
GGUF_GPT2 = NameMap(
    {
        "token_embd": "embedding",
        "position_embd": "positions",
        "blk.#.attn_norm": "blocks.#.attention_norm",
        "blk.#.attn_qkv": QKV,
        "blk.#.attn_output": "blocks.#.attention.output",
        "blk.#.ffn_norm": "blocks.#.feed_forward_norm",
        "blk.#.ffn_up": "blocks.#.feed_forward.up",
        "blk.#.ffn_down": "blocks.#.feed_forward.down",
        "output_norm": "norm",
        "output": "output",
    }
)


def parameter_shapes(config: TransformerConfig) -> dict[str, torch.Size]:
    """Return the shape of each parameter of a :class:`Transformer`, by name."""
    with torch.device("meta"):
        return {name: weight.shape for name, weight in Transformer(config).state_dict().items()}


def from_foreign(
    names: NameMap, config: TransformerConfig, tensors: Mapping[str, Tensor], path: object
) -> dict[str, Tensor]:
    """Convert the tensors of the foreign checkpoint at ``path`` to a state dict of ours.

    Raises :class:`ModelError` if a tensor is missing, unexpected or of the wrong shape, or if the
    configuration is inconsistent.
    """
    try:
        _check_config(config, len(tensors))
        return _from_foreign(names, config, tensors)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def to_foreign(names: NameMap, config: TransformerConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert a state dict of ours to foreign names, contiguous tensors; inverse of :func:`from_foreign`."""
    return {
        foreign: _transpose(names, foreign, torch.cat([state[name] for name in shapes])).contiguous()
        for foreign, shapes in _foreign_parameters(names, config).items()
    }


def _from_foreign(
    names: NameMap, config: TransformerConfig, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    has_prefix = any(name.startswith(names.prefix) for name in tensors)
    foreign_tensors = {
        name if has_prefix or name.startswith("lm_head") else names.prefix + name: tensor
        for name, tensor in tensors.items()
    }
    expected = _foreign_parameters(names, config)
    state: dict[str, Tensor] = {}
    for foreign, shapes in expected.items():
        if foreign not in foreign_tensors:
            raise ModelError(f"{foreign}: missing, but the configuration needs it; get the whole checkpoint")
        state |= _split(foreign, _transpose(names, foreign, foreign_tensors[foreign]), shapes)
    for foreign in foreign_tensors.keys() - expected.keys():
        _check_unexpected(names, config, foreign, foreign_tensors[foreign], state)
    return state


def _foreign_parameters(names: NameMap, config: TransformerConfig) -> dict[str, dict[str, torch.Size]]:
    """Return each foreign parameter with the names and shapes of our parameters in it."""
    found: dict[str, dict[str, torch.Size]] = {}
    for name, shape in parameter_shapes(config).items():
        found.setdefault(names.foreign_name(name), {})[name] = shape
    return found


def _generic(module: str) -> str:
    """Replace the block index in a module name by ``#``."""
    return re.sub(r"\.\d+\.", ".#.", module)


def _transpose(names: NameMap, foreign: str, tensor: Tensor) -> Tensor:
    """Transpose a matrix that the foreign format stores the other way round."""
    module = _generic(foreign).rpartition(".")[0]
    return tensor.T if module in names.transposed and tensor.ndim == 2 else tensor


def _split(foreign: str, tensor: Tensor, shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """Split a foreign tensor into our parameters."""
    sizes = [shape[0] for shape in shapes.values()]
    expected = [sum(sizes), *next(iter(shapes.values()))[1:]]
    if list(tensor.shape) != expected:
        raise ModelError(
            f"{foreign}: shape {list(tensor.shape)}, but by the configuration {expected}; configuration and "
            "weights are of different models: get both from the same place"
        )
    return dict(zip(shapes, tensor.split_with_sizes(sizes), strict=True))


def _check_config(config: TransformerConfig, num_tensors: int) -> None:
    """Check a foreign configuration before a model of its size is built."""
    sizes = (
        config.vocabulary_size,
        config.num_layers,
        config.hidden_size,
        config.num_heads,
        config.num_kv_heads,
        config.intermediate_size,
    )
    if min(sizes) < 1 or config.num_heads % config.num_kv_heads:
        raise ModelError(
            f"{config.num_heads} heads, {config.num_kv_heads} key-value heads, hidden size "
            f"{config.hidden_size}: all must be positive, and the second must divide the first; get the "
            "configuration again"
        )
    if config.positions == "rotary" and (config.head_size < 2 or config.head_size % 2):
        raise ModelError(
            f"head size {config.head_size}: must be even with rotary positions; choose another model"
        )
    if config.num_layers > num_tensors:
        raise ModelError(f"{config.num_layers} layers, but only {num_tensors} tensors; get the whole model")


def _check_unexpected(
    names: NameMap, config: TransformerConfig, foreign: str, tensor: Tensor, state: Mapping[str, Tensor]
) -> None:
    """Accept ignored tensors and a copy of the tied embedding; refuse any other."""
    if re.fullmatch(names.ignored, foreign):
        return
    head = names.foreign_modules["output"] + ".weight"
    if foreign == head and config.tied and torch.equal(tensor, state["embedding.weight"]):
        return
    raise ModelError(
        f"{foreign}: no such parameter in this model: the checkpoint is of another model family, or does not "
        "belong to its configuration; correct the configuration or choose another checkpoint"
    )

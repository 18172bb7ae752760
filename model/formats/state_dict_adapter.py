"""What others call our parameters, and how they lay them out: tables, and the translation by them.

A table maps a module of a foreign checkpoint to ours; ``#`` stands for the number of a block. Where it names
three of ours, the foreign matrix is theirs stacked along the output axis.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from core.errors import ModelError
from model.config import TransformerConfig
from model.transformer import Transformer

QKV = "blocks.#.attention.query blocks.#.attention.key blocks.#.attention.value"


@dataclass(frozen=True)
class Names:
    """One family's table."""

    modules: Mapping[str, str]
    """Foreign module to ours (several separated by spaces: stacked)."""
    transposed: frozenset[str] = frozenset()
    """Foreign modules whose matrices are stored ``[in, out]``."""
    prefix: str = ""
    """What their names begin with; some files leave it out everywhere."""
    derived: str = r"(?!)"
    """A pattern of tensors that can be computed from the configuration and say nothing new."""

    @cached_property
    def theirs(self) -> dict[str, str]:
        """Our module to the foreign one."""
        return {ours: module for module, several in self.modules.items() for ours in several.split()}

    def foreign(self, name: str) -> str:
        """The foreign name of our parameter or module ``name`` (of the whole stack if it is part of one)."""
        module, dot, kind = name.rpartition(".")
        if kind not in ("weight", "bias"):
            module, dot, kind = name, "", ""
        number = "".join(re.findall(r"\.(\d+)\.", module))
        return self.theirs[re.sub(r"\.\d+\.", ".#.", module)].replace("#", number) + dot + kind


LLAMA = Names(
    {
        "model.embed_tokens": "embedding",
        "model.layers.#.input_layernorm": "blocks.#.attention_norm",
        "model.layers.#.self_attn.q_proj": "blocks.#.attention.query",
        "model.layers.#.self_attn.k_proj": "blocks.#.attention.key",
        "model.layers.#.self_attn.v_proj": "blocks.#.attention.value",
        "model.layers.#.self_attn.o_proj": "blocks.#.attention.output",
        "model.layers.#.post_attention_layernorm": "blocks.#.feed_forward_norm",
        "model.layers.#.mlp.gate_proj": "blocks.#.feed_forward.gate",
        "model.layers.#.mlp.up_proj": "blocks.#.feed_forward.up",
        "model.layers.#.mlp.down_proj": "blocks.#.feed_forward.down",
        "model.norm": "norm",
        "lm_head": "output",
    },
    prefix="model.",
    derived=r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq",
)
"""Hugging Face's Llama; Mistral and Qwen2 say the same."""

GPT2 = Names(
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
    derived=r"transformer\.h\.\d+\.attn\.(masked_)?bias",
)
"""Hugging Face's GPT-2, whose matrices come from TensorFlow's 1×1 convolutions."""

GGUF_LLAMA = Names(
    {
        "token_embd": "embedding",
        "blk.#.attn_norm": "blocks.#.attention_norm",
        "blk.#.attn_q": "blocks.#.attention.query",
        "blk.#.attn_k": "blocks.#.attention.key",
        "blk.#.attn_v": "blocks.#.attention.value",
        "blk.#.attn_output": "blocks.#.attention.output",
        "blk.#.ffn_norm": "blocks.#.feed_forward_norm",
        "blk.#.ffn_gate": "blocks.#.feed_forward.gate",
        "blk.#.ffn_up": "blocks.#.feed_forward.up",
        "blk.#.ffn_down": "blocks.#.feed_forward.down",
        "output_norm": "norm",
        "output": "output",
    },
    derived=r"rope_freqs\.weight",
)
GGUF_GPT2 = Names(
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


def _check(config: TransformerConfig, tensors: int) -> None:
    """See that a foreign configuration makes sense before a model of that size is made."""
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
            f"{config.num_heads} heads, {config.num_kv_heads} for keys and values, width {config.hidden_size}: all must be "
            "positive, and the second divide the first; get the configuration again"
        )
    if config.positions == "rotary" and (config.head_size < 2 or config.head_size % 2):
        raise ModelError(f"heads of size {config.head_size}: must be even for rotation; choose another model")
    if config.num_layers > tensors:
        raise ModelError(f"{config.num_layers} layers, but only {tensors} tensors; get the whole model")


def shapes(config: TransformerConfig) -> dict[str, torch.Size]:
    """The shape of each parameter of a :class:`Transformer`, by name."""
    with torch.device("meta"):
        return {name: weight.shape for name, weight in Transformer(config).state_dict().items()}


def inward(
    names: Names, config: TransformerConfig, tensors: Mapping[str, Tensor], source: object
) -> dict[str, Tensor]:
    """The tensors of a foreign checkpoint, which lies at ``source``, by our names.

    Raises :class:`ModelError` if one is missing, has another shape, or has no place in the model, or if the
    configuration's own numbers do not fit together.
    """
    try:
        _check(config, len(tensors))
        return _translated(names, config, tensors)
    except ModelError as error:
        raise ModelError(f"{source}: {error}") from None


def _translated(names: Names, config: TransformerConfig, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    given = {_prefixed(names, name, tensors): tensor for name, tensor in tensors.items()}
    state: dict[str, Tensor] = {}
    used = set()
    for theirs, parts in _stacks(names, config):
        if theirs not in given:
            raise ModelError(
                f"{theirs}: missing, but the configuration asks for it; get the whole checkpoint"
            )
        used.add(theirs)
        state |= _unstacked(theirs, _turned(names, theirs, given[theirs]), parts)
    for name in given.keys() - used:
        _check_superfluous(names, config, name, given, state)
    return state


def outward(names: Names, config: TransformerConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our parameters by their foreign names, contiguous; the inverse of :func:`inward`."""
    return {
        theirs: _turned(names, theirs, torch.cat([state[ours] for ours in parts])).contiguous()
        for theirs, parts in _stacks(names, config)
    }


def _stacks(names: Names, config: TransformerConfig) -> Iterator[tuple[str, dict[str, torch.Size]]]:
    """Each foreign name with the parameters of ours, and their shapes, that it holds."""
    found: dict[str, dict[str, torch.Size]] = {}
    for name, shape in shapes(config).items():
        found.setdefault(names.foreign(name), {})[name] = shape
    yield from found.items()


def _prefixed(names: Names, name: str, tensors: Mapping[str, Tensor]) -> str:
    whole = any(each.startswith(names.prefix) for each in tensors)
    return name if whole or name.startswith("lm_head") else names.prefix + name


def _turned(names: Names, theirs: str, tensor: Tensor) -> Tensor:
    module = re.sub(r"\.\d+\.", ".#.", theirs).rpartition(".")[0]
    return tensor.T if module in names.transposed and tensor.ndim == 2 else tensor


def _unstacked(theirs: str, tensor: Tensor, parts: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    rows = [shape[0] for shape in parts.values()]
    expected = [sum(rows), *next(iter(parts.values()))[1:]]
    if list(tensor.shape) != expected:
        raise ModelError(
            f"{theirs}: shape {list(tensor.shape)}, but the configuration makes it {expected}; "
            "configuration and weights are not of one model: get both from the same place"
        )
    return dict(zip(parts, tensor.split_with_sizes(rows), strict=True))


def _check_superfluous(
    names: Names,
    config: TransformerConfig,
    name: str,
    given: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
) -> None:
    """Accept a tensor that says nothing new."""
    if re.fullmatch(names.derived, name):
        return
    head = names.theirs["output"] + ".weight"
    if name == head and config.tied and torch.equal(given[name], state["embedding.weight"]):
        return
    raise ModelError(
        f"{name}: a tensor that this model has no place for: not a model of this family, or its "
        "configuration is another's; correct the configuration or choose another checkpoint"
    )

"""Hugging Face folders: ``config.json`` and ``model.safetensors``, one file or several with an index.

Llama, with Mistral and Qwen2, which are written the same way, and GPT-2. What this decoder cannot do exactly
as their own code does is refused.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.errors import ModelError
from model.config import RopeScaling, TransformerConfig
from model.formats import state_dict_adapter
from model.formats.state_dict_adapter import Names

CONFIG, GENERATION = "config.json", "generation_config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
GPT2 = "GPT2LMHeadModel"
LLAMAS = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM")
TYPES = dict(zip(("gpt2", "llama", "mistral", "qwen2"), (GPT2, *LLAMAS), strict=True))
"""Architecture of each ``model_type``."""

ANY_LLAMA: dict[str, tuple[object, ...]] = {
    "hidden_act": ("silu",),
    "partial_rotary_factor": (None, 1),
    "quantization_config": (None,),
}
LIMITS: dict[str, dict[str, tuple[object, ...]]] = {
    "LlamaForCausalLM": ANY_LLAMA,
    "MistralForCausalLM": ANY_LLAMA | {"sliding_window": (None,)},
    "Qwen2ForCausalLM": ANY_LLAMA | {"use_sliding_window": (None, False)},
    GPT2: {
        "activation_function": (None, "gelu_new", "gelu_pytorch_tanh"),
        "scale_attn_weights": (None, True),
        "scale_attn_by_inverse_layer_idx": (None, False),
        "add_cross_attention": (None, False),
        "quantization_config": (None,),
    },
}
"""By architecture, settings with the values that this decoder can represent."""
ABSENT = {"hidden_act": "silu", "sliding_window": 4096, "activation_function": "gelu_new"}
"""What the absence of a setting means; of others: null."""


def read(folder: Path) -> tuple[TransformerConfig, dict[str, Tensor]]:
    """Configuration and parameters (by our names, in the file's dtype) of a model.

    Raises :class:`ModelError` for a folder that is not whole, or a model that cannot be represented.
    """
    values = _json(folder / CONFIG)
    architecture = _architecture(folder, values)
    _check_limits(folder, architecture, values)
    config = (_gpt2 if architecture == GPT2 else _llama)(folder, values)
    state = state_dict_adapter.inward(table(config), config, _tensors(folder), folder)
    return config, state


def write(
    folder: Path,
    config: TransformerConfig,
    state: Mapping[str, Tensor],
    tokens: Mapping[str, int | list[int]],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write ``config.json``, ``generation_config.json`` and ``model.safetensors`` into an existing folder.

    ``tokens`` are ``bos_token_id``, ``eos_token_id`` and ``pad_token_id``, as far as there are such.
    Raises :class:`ModelError` for a shape that has no name in Hugging Face's library.
    """
    values = settings(config) | {"dtype": str(dtype).removeprefix("torch."), **tokens}
    tensors = state_dict_adapter.outward(
        table(config), config, {name: each.to(dtype) for name, each in state.items()}
    )
    for file, content in ((CONFIG, values), (GENERATION, dict(tokens))):
        (folder / file).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    shutil.copymode(folder / CONFIG, folder / WEIGHTS)  # safetensors lets nobody else read it


def table(config: TransformerConfig) -> Names:
    """The names that Hugging Face gives to a model of this shape."""
    return state_dict_adapter.GPT2 if config.positions == "learned" else state_dict_adapter.LLAMA


def _architecture(folder: Path, values: Mapping[str, Any]) -> str:
    """The class that would read this folder."""
    named = values.get("architectures") or [TYPES.get(str(values.get("model_type")))]
    if not isinstance(named, list) or len(named) != 1 or named[0] not in LIMITS:
        raise ModelError(
            f"{folder / CONFIG}: architecture {named}; known are {', '.join(LIMITS)}: choose such a model"
        )
    return str(named[0])


def _check_limits(folder: Path, architecture: str, values: Mapping[str, Any]) -> None:
    for key, allowed in LIMITS[architecture].items():
        if (found := values.get(key, ABSENT.get(key))) not in allowed:
            raise ModelError(
                f"{folder / CONFIG}: {key} = {found!r}; only {allowed[-1]!r} can be represented: choose "
                "another model"
            )


def _llama(folder: Path, values: Mapping[str, Any]) -> TransformerConfig:
    get = _Reader(folder, values)
    heads = get.whole("num_attention_heads")
    qwen = _architecture(folder, values) == "Qwen2ForCausalLM"
    bias = bool(values.get("attention_bias"))
    theta, scaling = _rotation(folder, values)
    return TransformerConfig(
        vocabulary_size=get.whole("vocab_size"),
        num_layers=get.whole("num_hidden_layers"),
        hidden_size=get.whole("hidden_size"),
        num_heads=heads,
        num_kv_heads=get.whole("num_key_value_heads", heads),
        intermediate_size=get.whole("intermediate_size"),
        rope_theta=theta,
        norm_epsilon=get.number("rms_norm_eps", 1e-6),
        tied=bool(values.get("tie_word_embeddings", False)),
        head_size=get.whole("head_dim", 0),
        context=get.whole("max_position_embeddings", 0),
        qkv_bias=bias or qwen,
        output_bias=bias and not qwen,
        feed_forward_bias=bool(values.get("mlp_bias")),
        rope_scaling=scaling,
    )


def _rotation(folder: Path, values: Mapping[str, Any]) -> tuple[float, RopeScaling | None]:
    """Base and scaling of the rotary positions, in the spelling of either generation of the library."""
    rope: dict[str, Any] = {"rope_theta": values.get("rope_theta")}
    for key in ("rope_scaling", "rope_parameters"):
        if not isinstance(found := values.get(key) or {}, dict):
            raise ModelError(f"{folder / CONFIG}: {key} = {found!r}; must be an object: get the file again")
        rope |= found
    get = _Reader(folder, rope)
    theta = get.number("rope_theta", 10_000.0)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if rope.get("partial_rotary_factor", 1) != 1:
        kind = "a part of the channels"
    if kind == "default":
        return theta, None
    if kind != "llama3":
        raise ModelError(
            f"{folder / CONFIG}: positions scaled by {kind!r}; only 'llama3' can be represented: choose "
            "another model"
        )
    return theta, RopeScaling(
        get.number("factor"),
        get.number("low_freq_factor"),
        get.number("high_freq_factor"),
        get.whole("original_max_position_embeddings"),
    )


def _gpt2(folder: Path, values: Mapping[str, Any]) -> TransformerConfig:
    get = _Reader(folder, values)
    width, heads = get.whole("n_embd"), get.whole("n_head")
    return TransformerConfig(
        vocabulary_size=get.whole("vocab_size"),
        num_layers=get.whole("n_layer"),
        hidden_size=width,
        num_heads=heads,
        num_kv_heads=heads,
        intermediate_size=get.whole("n_inner", 4 * width),
        norm_epsilon=get.number("layer_norm_epsilon", 1e-5),
        tied=bool(values.get("tie_word_embeddings", True)),
        context=get.whole("n_positions", 1024),
        norm="layer",
        positions="learned",
        activation="gelu",
        qkv_bias=True,
        output_bias=True,
        feed_forward_bias=True,
    )


def settings(config: TransformerConfig) -> dict[str, Any]:
    """What ``config.json`` says of a shape. Raises :class:`ModelError` if it has no name there."""
    gpt2 = ("layer", "learned", "gelu", True, True, True, config.num_heads, config.hidden_size)
    llama = ("rms", "rotary", "swiglu")
    shape = (config.norm, config.positions, config.activation)
    biases = (config.qkv_bias, config.output_bias, config.feed_forward_bias)
    if (*shape, *biases, config.num_kv_heads, config.num_heads * config.head_size) == gpt2:
        return _gpt2_settings(config)
    qwen = biases == (True, False, False)
    if shape != llama or (config.qkv_bias != config.output_bias and not qwen):
        raise ModelError(
            f"{shape} with biases {biases}: no architecture of Hugging Face's has this shape; keep the "
            "model in its own format"
        )
    return _llama_settings(config, qwen=qwen)


def _gpt2_settings(config: TransformerConfig) -> dict[str, Any]:
    return {
        "architectures": [GPT2],
        "model_type": "gpt2",
        "vocab_size": config.vocabulary_size,
        "n_layer": config.num_layers,
        "n_embd": config.hidden_size,
        "n_head": config.num_heads,
        "n_inner": config.intermediate_size,
        "n_positions": config.context,
        "layer_norm_epsilon": config.norm_epsilon,
        "activation_function": "gelu_new",
        "tie_word_embeddings": config.tied,
    }


def _llama_settings(config: TransformerConfig, *, qwen: bool) -> dict[str, Any]:
    scaling = config.rope_scaling
    return {
        "architectures": [TYPES["qwen2" if qwen else "llama"]],
        "model_type": "qwen2" if qwen else "llama",
        "vocab_size": config.vocabulary_size,
        "num_hidden_layers": config.num_layers,
        "hidden_size": config.hidden_size,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_size,
        "intermediate_size": config.intermediate_size,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_epsilon,
        **({} if qwen else {"attention_bias": config.qkv_bias, "mlp_bias": config.feed_forward_bias}),
        "tie_word_embeddings": config.tied,
        **({"max_position_embeddings": config.context} if config.context else {}),
        "rope_theta": config.rope_theta,
        "rope_scaling": scaling
        and {
            "rope_type": "llama3",
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_frequency_factor,
            "high_freq_factor": scaling.high_frequency_factor,
            "original_max_position_embeddings": scaling.original_context,
        },
    }


def _tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder, by their foreign names."""
    if (folder / WEIGHTS).exists():
        return _file(folder / WEIGHTS)
    if (folder / INDEX).exists():
        places = _json(folder / INDEX).get("weight_map")
        if not isinstance(places, dict) or any(Path(str(file)).name != file for file in places.values()):
            raise ModelError(f"{folder / INDEX}: weight_map must name files beside it; get the index again")
        found: dict[str, Tensor] = {}
        for file in sorted(set(places.values())):
            found |= _file(folder / file)
        if absent := sorted(places.keys() - found.keys()):
            raise ModelError(f"{folder}: {absent[0]} is not in {places[absent[0]]}; get that file again")
        return found
    if any(folder.glob("pytorch_model*.bin")):
        raise ModelError(
            f"{folder}: its weights are a pickle, which can run any program when it is opened; load it with "
            "transformers, if you trust it, and save it as safetensors"
        )
    raise ModelError(f"{folder}: neither {WEIGHTS} nor {INDEX} in it; get the whole model")


def _file(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        cause = " ".join(str(error).split())[:100]
        raise ModelError(f"{path}: not a whole safetensors file ({cause}); get it again") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ModelError(f"{path}: no such file; get the whole model") from None
    except ValueError as error:
        raise ModelError(f"{path}: not JSON ({error}); get it again") from None
    if not isinstance(values, dict):
        raise ModelError(f"{path}: not a JSON object; get it again")
    return values


class _Reader:
    """Reads numbers out of a ``config.json``, and says which is wrong."""

    def __init__(self, folder: Path, values: Mapping[str, Any]) -> None:
        self._path, self._values = folder / CONFIG, values

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number; ``default`` where it is absent or null, without one it is needed and positive."""
        value = self._values.get(key)
        value = default if value is None else value
        least = 1 if default is None else 0
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ModelError(f"{self._path}: {key} = {value!r}; must be a whole number: get the file again")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A number; ``default`` where it is absent or null."""
        value = self._values.get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ModelError(f"{self._path}: {key} = {value!r}; must be a number: get the file again")
        return float(value)

"""Read and write Hugging Face folders: ``config.json`` and safetensors files, with an index if sharded.

Supports Llama, Mistral, Qwen2 and GPT-2. Models that :mod:`model.transformer` cannot reproduce exactly are
refused.
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
from model.formats.state_dict_adapter import NameMap

CONFIG, GENERATION = "config.json", "generation_config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
GPT2 = "GPT2LMHeadModel"
ARCHITECTURES = {
    "gpt2": GPT2,
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
}
"""``model_type`` -> architecture."""

LLAMA_SETTINGS: dict[str, tuple[object, ...]] = {
    "hidden_act": ("silu",),
    "partial_rotary_factor": (None, 1),
    "quantization_config": (None,),
}
SUPPORTED_SETTINGS: dict[str, dict[str, tuple[object, ...]]] = {
    "LlamaForCausalLM": LLAMA_SETTINGS,
    "MistralForCausalLM": LLAMA_SETTINGS | {"sliding_window": (None,)},
    "Qwen2ForCausalLM": LLAMA_SETTINGS | {"use_sliding_window": (None, False)},
    GPT2: {
        "activation_function": (None, "gelu_new", "gelu_pytorch_tanh"),
        "scale_attn_weights": (None, True),
        "scale_attn_by_inverse_layer_idx": (None, False),
        "add_cross_attention": (None, False),
        "quantization_config": (None,),
    },
}
"""Architecture -> setting -> supported values."""
DEFAULTS = {"hidden_act": "silu", "sliding_window": 4096, "activation_function": "gelu_new"}
"""Values of absent settings; all others default to null."""


def read(folder: Path) -> tuple[TransformerConfig, dict[str, Tensor]]:
    """Return configuration and state dict (our names, the file's dtype) of the model in ``folder``.

    Raises :class:`ModelError` for incomplete folders and unsupported models.
    """
    values = _load_json(folder / CONFIG)
    architecture = _architecture(folder, values)
    _check_settings(folder, architecture, values)
    config = (_gpt2_config if architecture == GPT2 else _llama_config)(folder, values)
    state = state_dict_adapter.from_foreign(name_map(config), config, _load_tensors(folder), folder)
    return config, state


def stop_tokens(folder: Path) -> frozenset[int]:
    """Return the ids that end a text, which ``config.json`` and ``generation_config.json`` list.

    Raises :class:`ModelError` for values that are not token ids.
    """
    found: set[int] = set()
    for file in (folder / CONFIG, folder / GENERATION):
        value = _load_json(file).get("eos_token_id") if file.exists() else None
        tokens = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(token, int) and not isinstance(token, bool) for token in tokens):
            raise ModelError(
                f"{file}: eos_token_id = {value!r}; must be a token id or a list of them: correct it"
            )
        found.update(tokens)
    return frozenset(found)


def write(
    folder: Path,
    config: TransformerConfig,
    state: Mapping[str, Tensor],
    tokens: Mapping[str, int | list[int]],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write ``config.json``, ``generation_config.json`` and ``model.safetensors`` into an existing folder.

    ``tokens`` holds those of ``bos_token_id``, ``eos_token_id`` and ``pad_token_id`` that exist.
    Raises :class:`ModelError` for an architecture that Hugging Face's library does not have.
    """
    values = config_json(config) | {"dtype": str(dtype).removeprefix("torch."), **tokens}
    converted = {name: tensor.to(dtype) for name, tensor in state.items()}
    tensors = state_dict_adapter.to_foreign(name_map(config), config, converted)
    for file, content in ((CONFIG, values), (GENERATION, dict(tokens))):
        (folder / file).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    shutil.copymode(
        folder / CONFIG, folder / WEIGHTS
    )  # safetensors creates files readable by their owner only


def name_map(config: TransformerConfig) -> NameMap:
    """Return the parameter names of this architecture in Hugging Face format."""
    return state_dict_adapter.GPT2 if config.positions == "learned" else state_dict_adapter.LLAMA


def _architecture(folder: Path, values: Mapping[str, Any]) -> str:
    """Return the name of the model class in Hugging Face's library."""
    named = values.get("architectures") or [ARCHITECTURES.get(str(values.get("model_type")))]
    if not isinstance(named, list) or len(named) != 1 or named[0] not in SUPPORTED_SETTINGS:
        supported = ", ".join(SUPPORTED_SETTINGS)
        raise ModelError(
            f"{folder / CONFIG}: architecture {named}; supported are {supported}: choose such a model"
        )
    return str(named[0])


def _check_settings(folder: Path, architecture: str, values: Mapping[str, Any]) -> None:
    for key, supported in SUPPORTED_SETTINGS[architecture].items():
        if (value := values.get(key, DEFAULTS.get(key))) not in supported:
            raise ModelError(
                f"{folder / CONFIG}: {key} = {value!r}; only {supported[-1]!r} is supported: choose another "
                "model"
            )


def _llama_config(folder: Path, values: Mapping[str, Any]) -> TransformerConfig:
    config = _ConfigReader(folder, values)
    num_heads = config.integer("num_attention_heads")
    qwen = _architecture(folder, values) == "Qwen2ForCausalLM"
    bias = bool(values.get("attention_bias"))
    theta, scaling = _rope(folder, values)
    return TransformerConfig(
        vocabulary_size=config.integer("vocab_size"),
        num_layers=config.integer("num_hidden_layers"),
        hidden_size=config.integer("hidden_size"),
        num_heads=num_heads,
        num_kv_heads=config.integer("num_key_value_heads", num_heads),
        intermediate_size=config.integer("intermediate_size"),
        rope_theta=theta,
        norm_epsilon=config.number("rms_norm_eps", 1e-6),
        tied=bool(values.get("tie_word_embeddings", False)),
        head_size=config.integer("head_dim", 0),
        context=config.integer("max_position_embeddings", 0),
        qkv_bias=bias or qwen,
        output_bias=bias and not qwen,
        feed_forward_bias=bool(values.get("mlp_bias")),
        rope_scaling=scaling,
    )


def _rope(folder: Path, values: Mapping[str, Any]) -> tuple[float, RopeScaling | None]:
    """Return base and scaling of the rotary positions; accepts the keys of all versions of the library."""
    rope: dict[str, Any] = {"rope_theta": values.get("rope_theta")}
    for key in ("rope_scaling", "rope_parameters"):
        if not isinstance(value := values.get(key) or {}, dict):
            raise ModelError(f"{folder / CONFIG}: {key} = {value!r}; must be an object: get the file again")
        rope |= value
    settings = _ConfigReader(folder, rope)
    theta = settings.number("rope_theta", 10_000.0)
    rope_type = rope.get("rope_type", rope.get("type", "default"))
    if rope.get("partial_rotary_factor", 1) != 1:
        rope_type = "part of the channels"
    if rope_type == "default":
        return theta, None
    if rope_type != "llama3":
        raise ModelError(
            f"{folder / CONFIG}: rotary positions scaled by {rope_type!r}; only 'llama3' is supported: "
            "choose another model"
        )
    return theta, RopeScaling(
        settings.number("factor"),
        settings.number("low_freq_factor"),
        settings.number("high_freq_factor"),
        settings.integer("original_max_position_embeddings"),
    )


def _gpt2_config(folder: Path, values: Mapping[str, Any]) -> TransformerConfig:
    config = _ConfigReader(folder, values)
    hidden_size, num_heads = config.integer("n_embd"), config.integer("n_head")
    return TransformerConfig(
        vocabulary_size=config.integer("vocab_size"),
        num_layers=config.integer("n_layer"),
        hidden_size=hidden_size,
        num_heads=num_heads,
        num_kv_heads=num_heads,
        intermediate_size=config.integer("n_inner", 4 * hidden_size),
        norm_epsilon=config.number("layer_norm_epsilon", 1e-5),
        tied=bool(values.get("tie_word_embeddings", True)),
    ).as_gpt2(config.integer("n_positions", 1024))


def config_json(config: TransformerConfig) -> dict[str, Any]:
    """Return the content of ``config.json``.

    Raises :class:`ModelError` for an architecture that Hugging Face's library does not have.
    """
    gpt2 = ("layer", "learned", "gelu", True, True, True, config.num_heads, config.hidden_size)
    llama = ("rms", "rotary", "swiglu")
    shape = (config.norm, config.positions, config.activation)
    biases = (config.qkv_bias, config.output_bias, config.feed_forward_bias)
    if (*shape, *biases, config.num_kv_heads, config.num_heads * config.head_size) == gpt2:
        return _gpt2_json(config)
    qwen = biases == (True, False, False)
    if shape != llama or (config.qkv_bias != config.output_bias and not qwen):
        raise ModelError(
            f"{shape} with biases {biases}: no such architecture in Hugging Face's library; keep the model "
            "in its own format"
        )
    return _llama_json(config, qwen=qwen)


def _gpt2_json(config: TransformerConfig) -> dict[str, Any]:
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
        **dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), config.dropout),
        "tie_word_embeddings": config.tied,
    }


def _llama_json(config: TransformerConfig, *, qwen: bool) -> dict[str, Any]:
    scaling = config.rope_scaling
    return {
        "architectures": [ARCHITECTURES["qwen2" if qwen else "llama"]],
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


def _load_tensors(folder: Path) -> dict[str, Tensor]:
    """Load all tensors of a folder, with their foreign names."""
    if (folder / WEIGHTS).exists():
        return _load_file(folder / WEIGHTS)
    if (folder / INDEX).exists():
        files = _load_json(folder / INDEX).get("weight_map")
        if not isinstance(files, dict) or any(Path(str(file)).name != file for file in files.values()):
            raise ModelError(
                f"{folder / INDEX}: weight_map must name files in the same folder; get the index again"
            )
        tensors: dict[str, Tensor] = {}
        for file in sorted(set(files.values())):
            tensors |= _load_file(folder / file)
        if missing := sorted(files.keys() - tensors.keys()):
            raise ModelError(f"{folder}: {missing[0]} is not in {files[missing[0]]}; get that file again")
        return tensors
    if any(folder.glob("pytorch_model*.bin")):
        raise ModelError(
            f"{folder}: the weights are a pickle, which can execute code when loaded; if you trust it, load "
            "it with transformers and save it as safetensors"
        )
    raise ModelError(f"{folder}: contains neither {WEIGHTS} nor {INDEX}; get the whole model")


def _load_file(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        cause = " ".join(str(error).split())[:100]
        raise ModelError(f"{path}: not a complete safetensors file ({cause}); get it again") from None


def _load_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ModelError(f"{path}: no such file; get the whole model") from None
    except ValueError as error:
        raise ModelError(f"{path}: not JSON ({error}); get it again") from None
    if not isinstance(values, dict):
        raise ModelError(f"{path}: not a JSON object; get it again")
    return values


class _ConfigReader:
    """Reads numbers from ``config.json``; raises :class:`ModelError` for invalid ones."""

    def __init__(self, folder: Path, values: Mapping[str, Any]) -> None:
        self._path, self._values = folder / CONFIG, values

    def integer(self, key: str, default: int | None = None) -> int:
        """Return an integer of at least 0, or ``default`` if absent or null; without default, at least 1."""
        value = self._values.get(key)
        value = default if value is None else value
        minimum = 1 if default is None else 0
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise ModelError(
                f"{self._path}: {key} = {value!r}; must be an integer of at least {minimum}: get the file "
                "again"
            )
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number, or ``default`` if absent or null."""
        value = self._values.get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ModelError(f"{self._path}: {key} = {value!r}; must be a number: get the file again")
        return float(value)

"""Translate ``config.json`` of Hugging Face's library to a :class:`TransformerConfig`, and back.

Settings that :mod:`model.transformer` cannot reproduce exactly are refused by name, and so are configurations
that no architecture of the library has.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from core.errors import ModelError
from model.config import TransformerConfig
from model.formats import huggingface_rope
from model.formats.settings import Settings

Supported = dict[str, tuple[object, ...]]

COMMON_SETTINGS: Supported = {"quantization_config": (None,)}
LLAMA_SETTINGS = COMMON_SETTINGS | {"hidden_act": ("silu",), "partial_rotary_factor": (None, 1)}
GEMMA_SETTINGS = COMMON_SETTINGS | {
    "hidden_act": (None, "gelu", "gelu_pytorch_tanh"),
    "hidden_activation": (None, "gelu_pytorch_tanh"),
    "use_bidirectional_attention": (None, False),
}
SUPPORTED_SETTINGS: dict[str, Supported] = {
    "gpt2": COMMON_SETTINGS
    | {
        "activation_function": (None, "gelu_new", "gelu_pytorch_tanh"),
        "scale_attn_weights": (None, True),
        "scale_attn_by_inverse_layer_idx": (None, False),
        "add_cross_attention": (None, False),
    },
    "llama": LLAMA_SETTINGS,
    "mistral": LLAMA_SETTINGS | {"layer_types": (None,)},
    "qwen2": LLAMA_SETTINGS,
    "qwen3": LLAMA_SETTINGS,
    "smollm3": LLAMA_SETTINGS,
    "gemma": GEMMA_SETTINGS,
    "gemma2": GEMMA_SETTINGS,
}
"""Model type -> setting -> supported values."""
ARCHITECTURES = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
}
"""``model_type`` -> architecture."""
DEFAULTS: dict[str, dict[str, Any]] = {
    "gpt2": {"activation_function": "gelu_new", "tie_word_embeddings": True},
    "llama": {"hidden_act": "silu"},
    "mistral": {"hidden_act": "silu", "sliding_window": 4096},
    "qwen2": {"hidden_act": "silu", "sliding_window": 4096, "max_window_layers": 28},
    "qwen3": {"hidden_act": "silu", "head_dim": 128, "sliding_window": 4096, "max_window_layers": 28},
    "smollm3": {"hidden_act": "silu", "rope_theta": 2_000_000.0, "tie_word_embeddings": True},
    "gemma": {"head_dim": 256, "tie_word_embeddings": True},
    "gemma2": {
        "head_dim": 256,
        "tie_word_embeddings": True,
        "sliding_window": 4096,
        "query_pre_attn_scalar": 256,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    },
}
"""Model type -> values of absent settings, where they are not those of Llama."""
FULL, SLIDING = "full_attention", "sliding_attention"


def read(path: Path, values: Mapping[str, Any]) -> TransformerConfig:
    """Translate the content of the ``config.json`` at ``path``.

    Raises :class:`ModelError` for invalid values and unsupported models.
    """
    model_type = _model_type(path, values)
    complete = DEFAULTS[model_type] | dict(values)
    for key, supported in SUPPORTED_SETTINGS[model_type].items():
        if (value := complete.get(key)) not in supported:
            raise ModelError(
                f"{path}: {key} = {value!r}; only {supported[-1]!r} is supported: choose another model"
            )
    settings = Settings(path, complete)
    return _gpt2(settings) if model_type == "gpt2" else _llama(model_type, settings)


def write(config: TransformerConfig) -> dict[str, Any]:
    """Return the content of ``config.json``.

    Raises :class:`ModelError` for an architecture that Hugging Face's library does not have.
    """
    model_type = _closest_type(config)
    values = _gpt2_json(config) if model_type == "gpt2" else _llama_json(model_type, config)
    result = {"architectures": [ARCHITECTURES[model_type]], "model_type": model_type, **values}
    written = replace(read(Path("config.json"), result), dropout=config.dropout)
    for field in fields(config):
        if (value := getattr(config, field.name)) != getattr(written, field.name):
            raise ModelError(
                f"{field.name} = {value!r}: no such architecture in Hugging Face's library (closest: "
                f"{model_type}); keep the model in its own format"
            )
    return result


def _model_type(path: Path, values: Mapping[str, Any]) -> str:
    """Return the model type; ``architectures`` has precedence, since it names the model's head as well."""
    named = values.get("architectures") or [ARCHITECTURES.get(str(values.get("model_type")))]
    for model_type, architecture in ARCHITECTURES.items():
        if named == [architecture]:
            return model_type
    raise ModelError(
        f"{path}: architecture {named}; supported are {', '.join(ARCHITECTURES.values())}: choose such a "
        "model"
    )


def _closest_type(config: TransformerConfig) -> str:
    """Return the model type that has the configuration, if any does."""
    if config.positions == "learned":
        return "gpt2"
    if config.zero_centered_norm:
        return "gemma2" if config.post_norms else "gemma"
    if config.qk_norm:
        return "qwen3"
    if config.qkv_bias and not config.output_bias:
        return "qwen2"
    if config.nope_layers or config.global_layers:
        return "smollm3"
    return "mistral" if config.sliding_window else "llama"


def _llama(model_type: str, settings: Settings) -> TransformerConfig:
    """Translate a model of the Llama family, in which all but GPT-2 are."""
    num_heads, num_layers = settings.integer("num_attention_heads"), settings.integer("num_hidden_layers")
    hidden_size = settings.integer("hidden_size")
    bias = settings.boolean("attention_bias")
    gemma, qwen2 = model_type.startswith("gemma"), model_type == "qwen2"
    theta, scaling = huggingface_rope.read(settings)
    config = TransformerConfig(
        vocabulary_size=settings.integer("vocab_size"),
        num_layers=num_layers,
        hidden_size=hidden_size,
        num_heads=num_heads,
        num_kv_heads=settings.integer("num_key_value_heads", num_heads),
        intermediate_size=settings.integer("intermediate_size"),
        rope_theta=theta,
        norm_epsilon=settings.number("rms_norm_eps", 1e-6),
        tied=settings.boolean("tie_word_embeddings"),
        head_size=settings.integer("head_dim", 0),
        context=settings.integer("max_position_embeddings", 0),
        qkv_bias=bias or qwen2,
        output_bias=bias and not qwen2,
        feed_forward_bias=settings.boolean("mlp_bias") and model_type in ("llama", "smollm3"),
        rope_scaling=scaling,
        qk_norm=model_type == "qwen3",
        nope_layers=_nope_layers(settings, num_layers) if model_type == "smollm3" else (),
        zero_centered_norm=gemma,
        activation="geglu" if gemma else "swiglu",
        embedding_scale=math.sqrt(hidden_size) if gemma else 1.0,
        post_norms=model_type == "gemma2",
    )
    if model_type == "gemma2":
        scalar = settings.number("query_pre_attn_scalar")
        config = replace(
            config,
            attention_softcap=settings.number("attn_logit_softcapping", 0.0),
            logit_softcap=settings.number("final_logit_softcapping", 0.0),
            query_scalar=0.0 if scalar == config.head_size else scalar,
        )
    return _with_window(model_type, settings, config)


def _with_window(model_type: str, settings: Settings, config: TransformerConfig) -> TransformerConfig:
    """Return the configuration with its sliding window and the layers that do not use it."""
    always = model_type in ("mistral", "gemma2")
    window = settings.integer("sliding_window", 0) if always or settings.boolean("use_sliding_window") else 0
    defaults: dict[str, Callable[[int], bool]] = {
        "qwen2": lambda layer: layer < settings.integer("max_window_layers", 0),
        "qwen3": lambda layer: layer < settings.integer("max_window_layers", 0),
        "smollm3": lambda layer: layer not in config.nope_layers,
        "gemma2": lambda layer: layer % 2 == 1,
    }
    if not window or model_type not in ("mistral", *defaults):
        return config
    layers = range(config.num_layers)
    types = settings.value("layer_types")
    if types is None:
        is_global = defaults.get(model_type)
        types = [FULL if is_global and is_global(layer) else SLIDING for layer in layers]
    if not isinstance(types, list) or len(types) != len(layers) or not {*map(str, types)} <= {FULL, SLIDING}:
        raise ModelError(
            f"{settings.path}: layer_types = {str(types)[:60]}; must name {FULL} or {SLIDING} for each of "
            f"{len(layers)} layers: choose another model"
        )
    global_layers = tuple(layer for layer in layers if types[layer] == FULL)
    if len(global_layers) == len(layers):
        return config
    return replace(config, sliding_window=window, global_layers=global_layers)


def _nope_layers(settings: Settings, num_layers: int) -> tuple[int, ...]:
    """Return SmolLM3's layers without rotary positions."""
    rotary = settings.value("no_rope_layers")
    if rotary is None:
        interval = settings.integer("no_rope_layer_interval", 4)
        return tuple(layer for layer in range(num_layers) if interval and (layer + 1) % interval == 0)
    if not isinstance(rotary, list) or len(rotary) < num_layers:
        raise ModelError(
            f"{settings.path}: no_rope_layers = {str(rotary)[:60]}; must list 0 or 1 for each of "
            f"{num_layers} layers: get the file again"
        )
    return tuple(layer for layer in range(num_layers) if not rotary[layer])


def _gpt2(settings: Settings) -> TransformerConfig:
    hidden_size, num_heads = settings.integer("n_embd"), settings.integer("n_head")
    return TransformerConfig(
        vocabulary_size=settings.integer("vocab_size"),
        num_layers=settings.integer("n_layer"),
        hidden_size=hidden_size,
        num_heads=num_heads,
        num_kv_heads=num_heads,
        intermediate_size=settings.integer("n_inner", 4 * hidden_size),
        norm_epsilon=settings.number("layer_norm_epsilon", 1e-5),
        tied=settings.boolean("tie_word_embeddings"),
    ).as_gpt2(settings.integer("n_positions", 1024))


def _gpt2_json(config: TransformerConfig) -> dict[str, Any]:
    return {
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


def _llama_json(model_type: str, config: TransformerConfig) -> dict[str, Any]:
    gemma = model_type.startswith("gemma")
    return {
        "vocab_size": config.vocabulary_size,
        "num_hidden_layers": config.num_layers,
        "hidden_size": config.hidden_size,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_size,
        "intermediate_size": config.intermediate_size,
        "hidden_act": "gelu_pytorch_tanh" if gemma else "silu",
        "rms_norm_eps": config.norm_epsilon,
        **({} if model_type in ("mistral", "qwen2") else {"attention_bias": config.output_bias}),
        **({"mlp_bias": config.feed_forward_bias} if model_type in ("llama", "smollm3") else {}),
        "tie_word_embeddings": config.tied,
        **({"max_position_embeddings": config.context} if config.context else {}),
        "rope_theta": config.rope_theta,
        "rope_scaling": huggingface_rope.scaling_json(config.rope_scaling),
        **_window_json(model_type, config),
        **(_gemma2_json(config) if model_type == "gemma2" else {}),
    }


def _window_json(model_type: str, config: TransformerConfig) -> dict[str, Any]:
    """Return the settings of sliding windows and layers without rotary positions."""
    layers = range(config.num_layers)
    result: dict[str, Any] = {}
    if model_type == "smollm3":
        result["no_rope_layers"] = [int(layer not in config.nope_layers) for layer in layers]
    if model_type not in ("llama", "gemma"):
        # transformers needs a window in Gemma 2 even if no layer uses it.
        unused = DEFAULTS["gemma2"]["sliding_window"] if model_type == "gemma2" else None
        result["sliding_window"] = config.sliding_window or unused
    if model_type in ("qwen2", "qwen3", "smollm3"):
        result["use_sliding_window"] = config.sliding_window > 0
    if model_type in ("qwen2", "qwen3", "smollm3", "gemma2"):
        is_full = [not config.sliding_window or layer in config.global_layers for layer in layers]
        result["layer_types"] = [FULL if full else SLIDING for full in is_full]
    return result


def _gemma2_json(config: TransformerConfig) -> dict[str, Any]:
    scalar = config.query_scalar or config.head_size
    return {
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": int(scalar) if scalar == int(scalar) else scalar,
        "attn_logit_softcapping": config.attention_softcap or None,
        "final_logit_softcapping": config.logit_softcap or None,
    }

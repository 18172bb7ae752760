"""Read LoRA adapters in the format of the ``peft`` package and apply them to the weights of their base model.

An adapter is ``adapter_config.json`` and ``adapter_model.safetensors`` with Hugging Face's names. Besides
plain LoRA (Hu et al. 2021), these variants are supported: rsLoRA (Kalajdzievski 2023), DoRA (Liu et al.
2024), and PiSSA (Meng et al. 2024) and OLoRA (Büyükakyüz 2024), which take their initial value out of the
base weights. Any other setting that could make a difference is refused.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from core.errors import ModelError
from model.formats.huggingface import name_map
from model.transformer import Transformer

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
"""Prefix of all tensor names."""
APPLIED_SETTINGS = frozenset(
    ("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora", "init_lora_weights")
)
IRRELEVANT_SETTINGS = frozenset(
    (
        *(
            "auto_mapping",
            "base_model_name_or_path",
            "inference_mode",
            "peft_version",
            "revision",
            "task_type",
        ),
        *("exclude_modules", "layers_pattern", "layers_to_transform", "target_modules"),
        *("corda_config", "eva_config", "lora_ga_config", "loftq_config"),
        *("fan_in_fan_out", "lora_dropout", "megatron_config", "megatron_core", "qalora_group_size"),
    )
)
"""Settings of training, and those that the tensors show."""
REQUIRED_SETTINGS: dict[str, Any] = {"peft_type": "LORA", "bias": "none"}
"""Settings with one supported value. All others must be absent, null, false, zero or empty."""
INITIALIZATIONS = (True, False, None, "gaussian", "eva", "orthogonal", "pissa", "olora")
"""Supported values of ``init_lora_weights``. The last two change the base weights."""
PARTS = ("lora_A.weight", "lora_B.weight", "lora_magnitude_vector")
"""Tensors of a module; the last is DoRA's."""
TENSOR_NAME = re.compile(rf"{re.escape(PREFIX)}(?P<module>.+)\.(?P<part>{'|'.join(map(re.escape, PARTS))})")
DEFAULT_ALPHA = 8
REMEDY = "merge the adapter with the package that made it, or choose another"


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter read from disk."""

    base: str
    """Path or name of the base model, as written in the adapter."""
    settings: Mapping[str, Any]
    """Content of ``adapter_config.json``."""
    tensors: Mapping[str, Mapping[str, Tensor]]
    """Module -> part, one of :data:`PARTS` -> tensor."""


def read(folder: str) -> Adapter:
    """Read the adapter in ``folder``.

    Raises :class:`ModelError` if it is missing, damaged or of an unsupported variant.
    """
    try:
        settings = json.loads(Path(folder, CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(Path(folder, WEIGHTS))
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise ModelError(
            f"{folder}: must hold a readable {CONFIG} and {WEIGHTS} ({' '.join(str(error).split())}); "
            "get the whole adapter"
        ) from None
    _check_settings(f"{folder}/{CONFIG}", settings)
    modules: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if not (match := TENSOR_NAME.fullmatch(name)):
            raise ModelError(
                f"{folder}/{WEIGHTS}: tensor {name}: only adapters of linear layers are supported; {REMEDY}"
            )
        modules.setdefault(match["module"], {})[match["part"]] = tensor
    if not modules:
        raise ModelError(f"{folder}/{WEIGHTS}: contains no tensors; get the whole adapter")
    return Adapter(str(settings.get("base_model_name_or_path") or ""), settings, modules)


@torch.no_grad()
def apply(model: Transformer, adapter: Adapter) -> None:
    """Add an adapter to the weights of its base model.

    Raises :class:`ModelError`, before any change, if the adapter does not fit the model.
    """
    layers = layers_by_foreign_module(model)
    weights = {
        module: _adapted_weights(module, adapter, layers.get(module, [])) for module in adapter.tensors
    }
    for module, parts in weights.items():
        for layer, weight in zip(layers[module], parts, strict=True):
            layer.weight.copy_(weight)


def layers_by_foreign_module(model: Transformer) -> dict[str, list[nn.Linear]]:
    """Return our linear layers by the name of the foreign module that holds them."""
    names = name_map(model.config)
    found: dict[str, list[nn.Linear]] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear):
            found.setdefault(names.foreign_name(name), []).append(layer)
    return found


def _check_settings(path: str, settings: Any) -> None:
    """Raise :class:`ModelError` for settings that would be misunderstood."""
    if not isinstance(settings, dict):
        raise ModelError(f"{path}: not a JSON object; get the adapter again")
    others = settings.keys() - APPLIED_SETTINGS - IRRELEVANT_SETTINGS - REQUIRED_SETTINGS.keys()
    unsupported = [key for key in sorted(others) if settings[key]]
    unsupported += [key for key, value in REQUIRED_SETTINGS.items() if settings.get(key, value) != value]
    if settings.get("init_lora_weights") not in INITIALIZATIONS:
        unsupported.append("init_lora_weights")
    if unsupported:
        shown = f"{unsupported[0]} = {str(settings[unsupported[0]])[:60]}"
        raise ModelError(f"{path}: {shown}: not supported; {REMEDY}")
    patterns = settings.get("alpha_pattern") or {}
    values = patterns.values() if isinstance(patterns, dict) else [patterns]
    for number in (settings.get("lora_alpha", DEFAULT_ALPHA), *values):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ModelError(
                f"{path}: lora_alpha or alpha_pattern is {number!r}: must be a number; correct it"
            )


def _adapted_weights(module: str, adapter: Adapter, layers: Sequence[nn.Linear]) -> Sequence[Tensor]:
    """Return the new weight of each of ``layers``, which foreign ``module`` holds."""
    tensors, settings = adapter.tensors[module], adapter.settings
    a, b, magnitude = (tensors.get(part) for part in PARTS)
    sizes = [layer.out_features for layer in layers]
    shape = (sum(sizes), layers[0].in_features if layers else 0)
    if (
        a is None
        or b is None
        or (b.shape[0], a.shape[1]) != shape
        or bool(settings.get("use_dora")) != (magnitude is not None and magnitude.shape == shape[:1])
    ):
        raise ModelError(
            f"{module}: the adapter's matrices fit no layer of the model; use the model it was made for"
        )
    rank = len(a)
    scale = _alpha(module, settings) / (math.sqrt(rank) if settings.get("use_rslora") else rank)
    weight = torch.cat([layer.weight.float() for layer in layers])
    weight -= _initial_value(weight, settings.get("init_lora_weights"), rank, scale)
    weight += scale * (b.float() @ a.float())
    if magnitude is not None:
        weight *= (magnitude.float() / torch.linalg.norm(weight, dim=1)).unsqueeze(1)
    return torch.split(weight, sizes)


def _alpha(module: str, settings: Mapping[str, Any]) -> float:
    """Return the scaling numerator of a module; the first pattern that matches its name applies."""
    for pattern, value in (settings.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return float(value)
    return float(settings.get("lora_alpha", DEFAULT_ALPHA))


def _initial_value(weight: Tensor, initialization: Any, rank: int, scale: float) -> Tensor:
    """Return the part of the base weight that the adapter replaces."""
    value: Tensor = torch.zeros(())
    if initialization == "pissa":
        u, s, v = torch.linalg.svd(weight, full_matrices=False)
        value = (u[:, :rank] * s[:rank]) @ v[:rank]
    elif initialization == "olora":
        q, r = torch.linalg.qr(weight)
        value = scale * (q[:, :rank] @ r[:rank])
    return value

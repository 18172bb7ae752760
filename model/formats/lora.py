"""Low-rank adaptation (LoRA, Hu et al. 2021), with adapters in the format of the ``peft`` package.

An adapted layer with frozen weight W computes W·x + alpha/rank · B·A·x, where A is ``[rank, in]`` and B
``[out, rank]``. B is initialized to zero, so that training starts from the base model.

On disk an adapter is ``adapter_config.json`` and ``adapter_model.safetensors`` with Hugging Face's names.
Where that format stores several of our layers as one matrix (query, key and value of GPT-2), their adapters
become one of the summed rank, which is equivalent.
"""

import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.errors import ModelError
from model.formats.huggingface import name_map
from model.transformer import Transformer

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
"""Prefix of all tensor names."""
REQUIRED_SETTINGS: dict[str, Any] = {
    "peft_type": "LORA",
    "bias": "none",
    "use_dora": False,
    "use_rslora": False,
    "modules_to_save": None,
    "layer_replication": None,
    "trainable_token_indices": None,
    "lora_bias": False,
    "target_parameters": None,
}
"""Settings of plain LoRA, the only supported variant."""


class LoraLinear(nn.Linear):
    """A frozen linear layer with a trainable low-rank adapter."""

    def __init__(self, layer: nn.Linear, rank: int, alpha: float, dropout: float) -> None:
        """Share the weights of ``layer``; A and B are uninitialized."""
        in_features, out_features, weight = layer.in_features, layer.out_features, layer.weight
        super().__init__(in_features, out_features, bias=layer.bias is not None, device="meta")
        self.weight, self.bias = weight, layer.bias
        self.requires_grad_(False)
        self.lora_a = nn.Parameter(weight.new_empty(rank, in_features))
        self.lora_b = nn.Parameter(weight.new_empty(out_features, rank))
        self.scale, self.dropout = alpha / rank, dropout
        self.train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[…, in]`` to ``[…, out]``."""
        dropped = F.dropout(x, self.dropout, self.training) if self.dropout else x
        low_rank = F.linear(dropped, self.lora_a) * self.scale
        return F.linear(x, self.weight, self.bias) + F.linear(low_rank, self.lora_b)


def attach(model: Transformer, rank: int, alpha: float, dropout: float, targets: Sequence[str] = ()) -> None:
    """Add adapters to the linear layers named ``targets`` (empty: all) in every block; freeze all else.

    Names are ``query``, ``key``, ``value``, ``output``, ``gate`` (not in GPT-2), ``up`` and ``down``.
    A and B have the model's dtype and device and are uninitialized: set them to :func:`initial_weight`.
    Raises :class:`ModelError` for a target that no layer has.
    """
    layers = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and name.startswith("blocks.")
    }
    available = {name.rpartition(".")[2]: None for name in layers}
    for target in targets:
        if target not in available:
            raise ModelError(
                f"{target}: no layer of this model has that name; choose from {', '.join(available)}"
            )
    model.requires_grad_(False)
    for name, layer in layers.items():
        parent, _, attribute = name.rpartition(".")
        if not targets or attribute in targets:
            setattr(model.get_submodule(parent), attribute, LoraLinear(layer, rank, alpha, dropout))


def initial_weight(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Return the initial value, float32 on the CPU, of adapter parameter ``name``: A uniform, B zero."""
    if name.endswith("lora_b"):
        return torch.zeros(shape)
    bound = 1 / math.sqrt(shape[1])
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


@torch.no_grad()
def merge(model: Transformer) -> None:
    """Merge all adapters into their base layers, which replace them and stay frozen."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, LoraLinear):
            layer.weight += (layer.lora_b @ layer.lora_a) * layer.scale
            merged = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
            merged.weight, merged.bias = layer.weight, layer.bias
            parent, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(parent), attribute, merged)


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter read from disk."""

    base: str
    """Path or name of the base model, as written in the adapter."""
    settings: Mapping[str, Any]
    """Content of ``adapter_config.json``."""
    tensors: Mapping[str, Tensor]
    """Content of ``adapter_model.safetensors``."""


def write(folder: str, model: Transformer, base: str) -> None:
    """Write the adapters of ``model`` to an existing folder; ``base`` is the path of the base model."""
    names = name_map(model.config)
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    for module, layers in _layers_by_foreign_module(model).items():
        if any(isinstance(layer, LoraLinear) for layer in layers):
            a, b = _concatenate(layers)
            tensors |= {f"{PREFIX}{module}.lora_A.weight": a, f"{PREFIX}{module}.lora_B.weight": b}
            ranks[_module_suffix(module)] = len(a)
    adapted = next(layer for layer in model.modules() if isinstance(layer, LoraLinear))
    rank = len(adapted.lora_a)
    other_ranks = {suffix: other for suffix, other in ranks.items() if other != rank}
    settings = REQUIRED_SETTINGS | {
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": adapted.scale * rank,
        "lora_dropout": adapted.dropout,
        "fan_in_fan_out": bool(names.transposed),
        "target_modules": sorted(ranks),
        "rank_pattern": other_ranks,
        "alpha_pattern": {suffix: adapted.scale * other for suffix, other in other_ranks.items()},
    }
    Path(folder, CONFIG).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    save_file(tensors, Path(folder, WEIGHTS), metadata={"format": "pt"})
    # safetensors creates files readable by their owner only
    shutil.copymode(Path(folder, CONFIG), Path(folder, WEIGHTS))


def read(folder: str) -> Adapter:
    """Read the adapter in ``folder``.

    Raises :class:`ModelError` if it is missing, damaged or of an unsupported variant.
    """
    try:
        settings = json.loads(Path(folder, CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(Path(folder, WEIGHTS))
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(
            f"{folder}: must hold a readable {CONFIG} and {WEIGHTS} ({' '.join(str(error).split())}); "
            "get the whole adapter"
        ) from None
    for key, required in REQUIRED_SETTINGS.items():
        if (value := settings.get(key) or None) != (required or None):
            raise ModelError(
                f"{folder}/{CONFIG}: {key} = {value!r}: only plain LoRA is supported ({required!r}); merge "
                "the adapter with the package that made it"
            )
    return Adapter(str(settings.get("base_model_name_or_path") or ""), settings, tensors)


@torch.no_grad()
def apply(model: Transformer, adapter: Adapter) -> None:
    """Add an adapter to the weights of its base model.

    Raises :class:`ModelError`, before any change, if the adapter does not fit the model.
    """
    layers = _layers_by_foreign_module(model)
    deltas = {
        module: _weight_deltas(module, adapter, layers.get(module, []))
        for module in _adapted_modules(adapter)
    }
    for module, parts in deltas.items():
        for layer, delta in zip(layers[module], parts, strict=True):
            layer.weight += delta


def _layers_by_foreign_module(model: Transformer) -> dict[str, list[nn.Linear]]:
    """Return our linear layers by the name of the foreign module that holds them."""
    names = name_map(model.config)
    found: dict[str, list[nn.Linear]] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear):
            found.setdefault(names.foreign_name(name), []).append(layer)
    return found


def _weight_deltas(module: str, adapter: Adapter, layers: Sequence[nn.Linear]) -> Sequence[Tensor]:
    """Return the weight change of each of ``layers``, which foreign ``module`` holds."""
    a, b = (adapter.tensors.get(f"{PREFIX}{module}.lora_{matrix}.weight") for matrix in "AB")
    sizes = [layer.out_features for layer in layers]
    if a is None or b is None or not layers or (len(b), a.shape[1]) != (sum(sizes), layers[0].in_features):
        raise ModelError(
            f"{module}: the adapter's matrices fit no layer of the model; use the model it was made for"
        )
    alpha = adapter.settings["lora_alpha"]
    for pattern, value in (adapter.settings.get("alpha_pattern") or {}).items():
        if re.search(rf"(^|\.){pattern}$", module):
            alpha = value
    return torch.split((b.float() @ a.float()) * (alpha / len(a)), sizes)


def _adapted_modules(adapter: Adapter) -> list[str]:
    """Return the foreign names of the modules that an adapter changes."""
    return sorted(
        {re.sub(r"\.lora_[AB]\.weight$", "", name).removeprefix(PREFIX) for name in adapter.tensors}
    )


def _concatenate(layers: Sequence[nn.Linear]) -> tuple[Tensor, Tensor]:
    """Return one A and B for layers that the foreign format concatenates along their outputs.

    A is ``[Σ rank, in]``; B ``[Σ out, Σ rank]`` is block-diagonal, and zero for layers without an adapter.
    """
    a = torch.cat([layer.lora_a.detach() for layer in layers if isinstance(layer, LoraLinear)])
    b = a.new_zeros(sum(layer.out_features for layer in layers), len(a))
    row = column = 0
    for layer in layers:
        if isinstance(layer, LoraLinear):
            rank = len(layer.lora_a)
            b[row : row + layer.out_features, column : column + rank] = layer.lora_b.detach()
            column += rank
        row += layer.out_features
    return a, b


def _module_suffix(module: str) -> str:
    """Return the part of a foreign module name after the block index, such as ``self_attn.q_proj``."""
    return re.sub(r"^.*\.\d+\.", "", module)

"""Low-rank adaptation (LoRA, Hu et al. 2021): the weights stay, some layers learn a small correction.

A layer W gives W·x + alpha/rank · B·A·x, where A is ``[rank, in]`` and B ``[out, rank]``. B begins at zero,
so that the adapted model begins as the model it adapts.

On disk an adapter is what the ``peft`` package writes and reads: ``adapter_config.json`` and
``adapter_model.safetensors`` under Hugging Face's names. Where that layout keeps several of our layers as one
matrix (GPT-2's query, key and value), their corrections become one of the summed rank, which is the same.
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
from model.formats.huggingface import table
from model.transformer import Transformer

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
"""What peft's names begin with."""
PLAIN: dict[str, Any] = {
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
"""Of the many variants of an adapter, the one that is meant here."""


class LoraLinear(nn.Linear):
    """A linear layer, frozen, and its correction."""

    def __init__(self, layer: nn.Linear, rank: int, alpha: float, dropout: float) -> None:
        """In place of ``layer``, whose weights it takes; A and B are not set yet."""
        inner, outer, weight = layer.in_features, layer.out_features, layer.weight
        super().__init__(inner, outer, bias=layer.bias is not None, device="meta")
        self.weight, self.bias = weight, layer.bias
        self.requires_grad_(False)
        self.lora_a = nn.Parameter(weight.new_empty(rank, inner))
        self.lora_b = nn.Parameter(weight.new_empty(outer, rank))
        self.scale, self.dropout = alpha / rank, dropout
        self.train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        """``[…, in]`` to ``[…, out]``."""
        noisy = F.dropout(x, self.dropout, self.training) if self.dropout else x
        low = F.linear(noisy, self.lora_a) * self.scale
        return F.linear(x, self.weight, self.bias) + F.linear(low, self.lora_b)


def attach(model: Transformer, rank: int, alpha: float, dropout: float, targets: Sequence[str] = ()) -> None:
    """Give the linear layers named ``targets`` (none: all) in every block a correction; freeze all else.

    The names are: ``query``, ``key``, ``value``, ``output``, ``gate`` (not in GPT-2), ``up``, ``down``.
    A and B get the model's dtype and device and no values: set them by :func:`initial_weight`.
    Raises :class:`ModelError` for a target that no layer has.
    """
    layers = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and name.startswith("blocks.")
    }
    known = {name.rpartition(".")[2]: None for name in layers}
    for target in targets:
        if target not in known:
            raise ModelError(
                f"{target}: no layer of this model has that name; choose from {', '.join(known)}"
            )
    model.requires_grad_(False)
    for name, layer in layers.items():
        parent, _, last = name.rpartition(".")
        if not targets or last in targets:
            setattr(model.get_submodule(parent), last, LoraLinear(layer, rank, alpha, dropout))


def initial_weight(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """A fresh value, float32 on the CPU, for the parameter ``name`` of a correction: A uniform, B zero."""
    if name.endswith("lora_b"):
        return torch.zeros(shape)
    bound = 1 / math.sqrt(shape[1])
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


@torch.no_grad()
def merge(model: Transformer) -> None:
    """Add every correction to the weights it corrects; ordinary layers remain, frozen as they are."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, LoraLinear):
            layer.weight += (layer.lora_b @ layer.lora_a) * layer.scale
            plain = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
            plain.weight, plain.bias = layer.weight, layer.bias
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, plain)


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter as it lies on disk."""

    base: str
    """Where the model lies that it corrects, as its maker named it."""
    settings: Mapping[str, Any]
    """``adapter_config.json``."""
    tensors: Mapping[str, Tensor]
    """``adapter_model.safetensors``."""


def write(folder: str, model: Transformer, base: str) -> None:
    """Write the corrections of ``model`` to a folder that is there; ``base`` names what they correct."""
    names = table(model.config)
    stacks: dict[str, list[tuple[str, nn.Linear]]] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear) and name.startswith("blocks."):
            stacks.setdefault(names.foreign(name), []).append((name, layer))
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    for theirs, parts in stacks.items():
        if any(isinstance(layer, LoraLinear) for _, layer in parts):
            a, b = _stacked([layer for _, layer in parts])
            tensors |= {f"{PREFIX}{theirs}.lora_A.weight": a, f"{PREFIX}{theirs}.lora_B.weight": b}
            ranks[_ending(theirs)] = len(a)
    layer = next(layer for layer in model.modules() if isinstance(layer, LoraLinear))
    rank = len(layer.lora_a)
    summed = {ending: found for ending, found in ranks.items() if found != rank}
    settings = PLAIN | {
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": layer.scale * rank,
        "lora_dropout": layer.dropout,
        "fan_in_fan_out": bool(names.transposed),
        "target_modules": sorted(ranks),
        "rank_pattern": summed,
        "alpha_pattern": {ending: layer.scale * found for ending, found in summed.items()},
    }
    Path(folder, CONFIG).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    save_file(tensors, Path(folder, WEIGHTS), metadata={"format": "pt"})
    shutil.copymode(Path(folder, CONFIG), Path(folder, WEIGHTS))  # safetensors lets nobody else read it


def read(folder: str) -> Adapter:
    """The adapter in ``folder``. Raises :class:`ModelError` if there is none, or one of another kind."""
    try:
        settings = json.loads(Path(folder, CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(Path(folder, WEIGHTS))
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(
            f"{folder}: must hold a readable {CONFIG} and {WEIGHTS} ({' '.join(str(error).split())}); "
            "get the whole adapter"
        ) from None
    for key, plain in PLAIN.items():
        if (found := settings.get(key) or None) != (plain or None):
            raise ModelError(
                f"{folder}/{CONFIG}: {key} = {found!r}: only plain LoRA is known ({plain!r}); merge the "
                "adapter with the package that made it"
            )
    return Adapter(str(settings.get("base_model_name_or_path") or ""), settings, tensors)


@torch.no_grad()
def apply(model: Transformer, adapter: Adapter) -> None:
    """Add an adapter's corrections to the weights of the model that it was made for.

    Raises :class:`ModelError`, before anything is changed, if it was not made for one of this shape.
    """
    names = table(model.config)
    stacks: dict[str, list[nn.Linear]] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear):
            stacks.setdefault(names.foreign(name), []).append(layer)
    changes = {theirs: _change(theirs, adapter, stacks.get(theirs, [])) for theirs in _modules(adapter)}
    for theirs, change in changes.items():
        for layer, part in zip(stacks[theirs], change, strict=True):
            layer.weight += part


def _change(theirs: str, adapter: Adapter, layers: Sequence[nn.Linear]) -> Sequence[Tensor]:
    """What is to be added to the weights of each of ``layers``, which ``theirs`` names together."""
    a, b = (adapter.tensors.get(f"{PREFIX}{theirs}.lora_{which}.weight") for which in "AB")
    rows = [layer.out_features for layer in layers]
    if a is None or b is None or not layers or (len(b), a.shape[1]) != (sum(rows), layers[0].in_features):
        raise ModelError(
            f"{theirs}: the adapter's matrices fit no layer of the model; give the model that it was made for"
        )
    alpha = adapter.settings["lora_alpha"]
    for pattern, found in (adapter.settings.get("alpha_pattern") or {}).items():
        if re.search(rf"(^|\.){pattern}$", theirs):
            alpha = found
    return torch.split((b.float() @ a.float()) * (alpha / len(a)), rows)


def _modules(adapter: Adapter) -> list[str]:
    """The modules that an adapter corrects, by their foreign names."""
    return sorted(
        {re.sub(r"\.lora_[AB]\.weight$", "", name).removeprefix(PREFIX) for name in adapter.tensors}
    )


def _stacked(layers: Sequence[nn.Linear]) -> tuple[Tensor, Tensor]:
    """One A and one B of layers that are stacked along their outputs; those without a correction get none."""
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


def _ending(module: str) -> str:
    """The part of a foreign module's name that is the same in every block, such as ``self_attn.q_proj``."""
    return re.sub(r"^.*\.\d+\.", "", module)

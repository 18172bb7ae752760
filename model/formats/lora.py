"""Train low-rank adapters (LoRA, Hu et al. 2021) and write them in the format of the ``peft`` package.

An adapted layer with frozen weight W computes W·x + alpha/rank · B·A·x, where A is ``[rank, in]`` and B
``[out, rank]``. B is initialized to zero, so that training starts from the base model.

Where that format (see :mod:`model.formats.adapter`) stores several of our layers as one matrix (query, key
and value of GPT-2), their adapters become one of the summed rank, which is equivalent.
"""

import json
import math
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from core.errors import ModelError
from model.formats.adapter import CONFIG, PREFIX, REQUIRED_SETTINGS, WEIGHTS, layers_by_foreign_module
from model.formats.huggingface import name_map
from model.transformer import Transformer


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


def write(folder: str, model: Transformer, base: str) -> None:
    """Write the adapters of ``model`` to an existing folder; ``base`` is the path of the base model."""
    names = name_map(model.config)
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    for module, layers in layers_by_foreign_module(model).items():
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

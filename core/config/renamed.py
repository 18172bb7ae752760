"""Configuration keys of earlier versions. They are rejected with the name that replaced each."""

from collections.abc import Mapping
from types import MappingProxyType

RENAMED: Mapping[str, str] = MappingProxyType(
    {
        "model.layers": "model.num_layers",
        "model.width": "model.hidden_size",
        "model.heads": "model.num_heads",
        "model.kv_heads": "model.num_kv_heads",
        "model.hidden": "model.intermediate_size",
        "train.final_learning_rate": "train.min_lr_ratio",
        "finetune.final_learning_rate": "finetune.min_lr_ratio",
        "classifier.held_out": "classifier.held_out_fraction",
        "classifier.shortest_fragment": "classifier.minn",
        "classifier.longest_fragment": "classifier.maxn",
        "classifier.rarest_word": "classifier.min_count",
    }
)

CONVERSIONS: Mapping[str, str] = MappingProxyType(
    {"classifier.held_out": "write a fraction: 0.1 instead of 10"},
)
"""How to convert the value of a renamed key whose meaning changed as well."""

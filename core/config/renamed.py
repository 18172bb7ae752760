"""Configuration keys of earlier versions, refused with the name that replaced each."""

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

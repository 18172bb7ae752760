"""``model.size``: one setting from which shape, learning rate and batch size follow, where they are not set.

A size is a name in ``sizes.toml``, with the shape of a published model, or ``d`` and a depth, such as
``d12``: as many layers, and 64 channels of width, one head, for each, the aspect of nanochat. Learning rate
and batch size are those of the Step Law (Li et al. 2025, arXiv:2503.04715) for 20 tokens per parameter
(Hoffmann et al. 2022).
"""

import math
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from core.config.pipeline import PackConfig
from core.errors import ConfigError

CHANNELS = 64
"""Channels of a head, and of the hidden size for each layer."""
TOKENS_PER_PARAMETER = 20
MAX_LEARNING_RATE = 3e-3
"""That of SmolLM2-135M. The law was fitted on larger models than those that it would give more."""
FOLLOWING = {
    "model": (
        *("num_layers", "hidden_size", "num_heads", "num_kv_heads", "intermediate_size", "rope_theta"),
        *("head_size", "tied"),
    ),
    "train": ("learning_rate", "batch_size"),
}
"""Keys that follow from a size, by section."""
_DEPTH = re.compile(r"d([1-9]\d{0,2})")


def expand(tree: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration with the values that follow from ``model.size``, where it sets none itself.

    Raises :class:`ConfigError` for an unknown size.
    """
    model = tree.get("model")
    if not isinstance(model, dict):
        return tree
    size = model.get("size")
    if not size or not isinstance(size, str):
        return tree
    shape = find_shape(size)
    pack = tree.get("pack")
    length = pack.get("sequence_length") if isinstance(pack, dict) else None
    if not isinstance(length, int) or length < 1:
        length = PackConfig().sequence_length
    train = tree.get("train", {})
    filled = {**tree, "model": {**shape, **model}}
    if isinstance(train, dict):
        filled["train"] = {**training_settings(filled["model"], length), **train}
    return filled


def leave_size(tree: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Remove from a file's settings what follows from a size, if the overrides name a size."""
    model = given.get("model")
    if isinstance(model, dict) and model.get("size"):
        for section, keys in FOLLOWING.items():
            if isinstance(own := tree.get(section), dict):
                for key in keys:
                    own.pop(key, None)


def find_shape(size: str) -> dict[str, Any]:
    """Return the values of ``[model]`` for a size. Raises :class:`ConfigError` for an unknown one."""
    if depth := _DEPTH.fullmatch(size):
        layers = int(depth[1])
        heads = {"num_heads": layers, "num_kv_heads": layers}
        return {"num_layers": layers, "hidden_size": CHANNELS * layers, **heads}
    text = resources.files("core.config").joinpath("sizes.toml").read_text(encoding="utf-8")
    shapes: dict[str, dict[str, Any]] = tomllib.loads(text)
    if size not in shapes:
        raise ConfigError(
            f"model.size = {size!r}: no such size; name one of {', '.join(shapes)}, or a depth, such as d12"
        )
    return shapes[size]


def training_settings(model: Mapping[str, Any], sequence_length: int) -> dict[str, Any]:
    """Return ``learning_rate``, with two digits, and ``batch_size``, a power of two, for a shape.

    Step Law: 1.79 · N^-0.713 · D^0.307, and 0.58 · D^0.571 tokens, for D tokens and N parameters without
    embeddings, which are 12 · layers · width² (Kaplan et al. 2020). Empty for a shape that is not valid.
    """
    layers, width = model.get("num_layers"), model.get("hidden_size")
    if not isinstance(layers, int) or not isinstance(width, int) or layers < 1 or width < 1:
        return {}
    parameters = 12 * layers * width**2
    tokens = TOKENS_PER_PARAMETER * parameters
    learning_rate = min(MAX_LEARNING_RATE, 1.79 * parameters**-0.713 * tokens**0.307)
    rows = 0.58 * tokens**0.571 / sequence_length
    return {
        "learning_rate": float(f"{learning_rate:.1e}"),
        "batch_size": 1 << max(0, round(math.log2(rows))),
    }

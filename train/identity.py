"""What identifies a training run: the settings and hashes that decide what it learns, and how they differ."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core import manifest
from core.config import TrainConfig

RESUMABLE_KEYS = (
    "micro_batch_size",
    "checkpoint_every",
    "keep_checkpoints",
    "keep_every",
    "compile",
    "activation_checkpointing",
    "shard_processes",
    "validate_every",
    "validation_sequences",
    "sample_prompts",
    "sample_tokens",
    "loggers",
    "profile_steps",
    "max_skipped_steps",
    "read_ahead",
    "shard_cache",
)
"""Keys of ``[train]`` that may change when a run is resumed, since they do not change what it learns."""
SCHEDULE_KEYS = ("steps", "schedule", "min_lr_ratio", "decay_share", "spike_sigmas")
"""Keys of ``[train]`` that may change when pre-training is resumed or continued; they count from there on."""
PATH_KEYS = ("name", "shards", "init_from")
"""Names and paths in ``[train]``; the run's identity has hashes of their content instead."""
OPEN_MAPPINGS = ("mixture", "fields", "values")
"""Settings whose keys are the user's names; each is compared as one value."""
NOT_RECORDED = object()
"""Stands for the value of a name that a record lacks."""


def identity_settings(config: TrainConfig, changeable: Sequence[str] = ()) -> dict[str, Any]:
    """Return the settings that determine what is learned, apart from edits, which may be added later.

    ``changeable``: others that may change on the way.
    """
    values = config.model_dump(mode="json")
    return {key: value for key, value in values.items() if key not in (*RESUMABLE_KEYS, *changeable, "edits")}


def differences(
    one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield the names in ``one`` that have other values in ``other``, with both.

    Names in ``other`` only are ignored. The value of an absent name is :data:`NOT_RECORDED`.
    """
    for key, value in one.items():
        found = other.get(key, NOT_RECORDED)
        if isinstance(value, Mapping) and isinstance(found, Mapping) and key not in OPEN_MAPPINGS:
            yield from differences(value, found, f"{prefix}{key}.")
        elif found is NOT_RECORDED or manifest.canonical(value) != manifest.canonical(found):
            yield f"{prefix}{key}", value, found


def completed(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` with the defaults of what is absent, at any depth."""
    result = {**defaults, **values}
    for key, default in defaults.items():
        if isinstance(default, Mapping) and isinstance(result[key], Mapping):
            result[key] = completed(result[key], default)
    return result

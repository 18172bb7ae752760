"""Recipes: the presets, which are data, and the conditions that they are made of.

A preset is a TOML file in ``presets/``: an ordered table of reasons and thresholds, whether C4's line rules
edit the text, and whether personal data is masked. The configuration may override a preset's thresholds and
add conditions to it.
"""

import difflib
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from pydantic import BaseModel, ConfigDict

from pipeline import config
from pipeline.errors import ConfigError
from pipeline.ledger import RULES, Demand, Reason


class Lines(BaseModel):
    """Whether C4's line rules edit the text, and whether lines must end in terminal punctuation."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    remove: bool
    terminal_punctuation: bool


class Preset(BaseModel):
    """One recipe, as its TOML file has it; thresholds in the order in which they are tried."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    title: str
    mask_pii: bool
    c4_lines: Lines
    thresholds: dict[Reason, float]


@dataclass(frozen=True, slots=True)
class Condition:
    """A measure that must be at least or at most a threshold; otherwise the record is dropped."""

    reason: Reason
    metric: str
    demand: Demand
    threshold: float

    def holds(self, value: float) -> bool:
        """Whether ``value`` satisfies the condition."""
        return value >= self.threshold if self.demand == "at least" else value <= self.threshold


@dataclass(frozen=True, slots=True)
class Recipe:
    """A preset with the configuration's own settings on top."""

    conditions: tuple[Condition, ...]
    lines: Lines
    mask_pii: bool
    languages: frozenset[str]


def names() -> list[str]:
    """The presets there are."""
    files = resources.files("pipeline.filters").joinpath("presets").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def recipe(settings: config.Filters) -> Recipe:
    """The recipe that the settings ask for. Raises :class:`ConfigError` for an unknown preset or reason.

    A threshold for a reason that the preset has takes the preset's place; others are tried after those.
    """
    preset = _preset(settings.preset)
    thresholds = preset.thresholds | {_reason(name): value for name, value in settings.thresholds.items()}
    return Recipe(
        conditions=tuple(Condition(reason, *RULES[reason], limit) for reason, limit in thresholds.items()),
        lines=preset.c4_lines,
        mask_pii=preset.mask_pii and settings.mask_pii,
        languages=frozenset(settings.languages),
    )


def resolved_thresholds(settings: config.Filters) -> dict[str, float]:
    """Every condition in force by its reason, in the order in which they are tried, for manifests."""
    return {condition.reason.value: condition.threshold for condition in recipe(settings).conditions}


@cache
def _preset(name: str) -> Preset:
    if name not in names():
        raise ConfigError(
            f"filters.preset = {name!r}: no such preset; the nearest valid name is {_nearest(name, names())}"
        )
    text = resources.files("pipeline.filters").joinpath("presets", f"{name}.toml").read_text("utf-8")
    return Preset.model_validate(tomllib.loads(text))


def _reason(name: str) -> Reason:
    if name not in {reason.value for reason in RULES}:
        near = _nearest(name, [reason.value for reason in RULES])
        raise ConfigError(f"filters.thresholds: {name!r} is no condition; the nearest valid name is {near}")
    return Reason(name)


def _nearest(name: str, valid: list[str]) -> str:
    return difflib.get_close_matches(name, valid, n=1, cutoff=0.0)[0]

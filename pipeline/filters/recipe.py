"""Recipes: the presets, which are data, and the conditions that they are made of.

A preset is a TOML file in ``presets/``: how it counts and edits, and an ordered table of reasons and
thresholds, perhaps with other thresholds for some languages. The configuration may override a preset's
thresholds and add conditions to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from core import config, storage
from core.errors import ConfigError
from core.messages import nearest
from core.resources import read_toml
from pipeline.filters import language
from pipeline.ledger import RULES, Bound, Drop, Reason, satisfies

FILE_SETTINGS = (
    "language_model",
    "url_domains",
    "url_addresses",
    "url_words",
    "quality_model",
    "toxicity_model",
    "toxicity_words",
)
"""The settings that are paths."""

Counting = Literal["datatrove", "dclm", "dolma"]
Lines = Literal["all", "c4", "finished", "refinedweb"]


class ByLanguage(BaseModel):
    """Thresholds that differ between languages: a row of figures for each, in the order of ``conditions``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    conditions: tuple[Reason, ...] = ()
    rows: dict[str, tuple[float, ...]] = {}

    @model_validator(mode="after")
    def _rows_are_complete(self) -> "ByLanguage":
        if any(len(row) != len(self.conditions) for row in self.rows.values()):
            raise PydanticCustomError("rows", "every row must have a figure for every condition")
        return self

    def of(self, reason: Reason) -> dict[str, float]:
        """The threshold of one condition in each language."""
        if reason not in self.conditions:
            return {}
        column = self.conditions.index(reason)
        return {code: row[column] for code, row in self.rows.items()}


class Preset(BaseModel):
    """One recipe, as its TOML file has it; thresholds in the order in which they are tried."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    title: str
    counting: Counting = "datatrove"
    """Whose variant of Gopher's measures is taken; see ``gopher.py``, ``dclm.py`` and ``dolma.py``."""
    split_unspaced: bool = True
    """Scripts without spaces have one word per letter; if not, signs alone separate words, as in datatrove's
    English filters."""
    lines: Lines = "all"
    """Whose line rules edit the text."""
    terminal_punctuation: bool = False
    """C4's rules, which measure in any case, take only lines that end in a terminal mark."""
    toxic_sentence: float | None = None
    """Sentences that are at least so toxic are taken out of the text."""
    mask_pii: bool = True
    thresholds: dict[Reason, float]
    by_language: ByLanguage = ByLanguage()


@dataclass(frozen=True, slots=True)
class Condition:
    """A measure that must be at least or at most a threshold; otherwise the record is dropped."""

    reason: Reason
    metric: str
    bound: Bound
    threshold: float
    by_language: Mapping[str, float]

    def limit(self, language: str) -> float:
        """The threshold for texts in ``language``."""
        return self.by_language.get(language, self.threshold)

    def holds(self, value: float | None, language: str = "") -> bool:
        """Whether ``value`` satisfies the condition; what was not measured does."""
        if value is None:
            return True
        return satisfies(self.bound, value, self.limit(language))


@dataclass(frozen=True, slots=True)
class Recipe:
    """A preset with the configuration's own settings on top."""

    preset: Preset
    url_conditions: tuple[Condition, ...]
    """What is asked of the address, before anything else."""
    text_conditions: tuple[Condition, ...]
    mask_pii: bool
    languages: frozenset[str]

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All of them, in the order in which they are tried."""
        return self.url_conditions + self.text_conditions


def first_failing(
    recipe: Recipe, metrics: Mapping[str, float | None], language: str = "", score: float | None = None
) -> Drop | None:
    """The first condition that fails, or None: the record stays.

    Decides by the record's numbers alone, now or later: a metric that is missing or None was not taken and is
    not asked about, nor is the language where ``score``, its ``language_score``, is None.
    """
    if drop := _first(recipe.url_conditions, metrics, language):
        return drop
    if score is not None and recipe.languages and language not in recipe.languages:
        return Drop(Reason.LANGUAGE_UNWANTED, score)
    return _first(recipe.text_conditions, {**metrics, "language_score": score}, language)


def _first(
    conditions: tuple[Condition, ...], metrics: Mapping[str, float | None], language: str
) -> Drop | None:
    for condition in conditions:
        value = metrics.get(condition.metric)
        if not condition.holds(value, language):
            return Drop(condition.reason, value, condition.limit(language))
    return None


def preset_names() -> list[str]:
    """The presets there are."""
    files = resources.files("pipeline.filters").joinpath("presets").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def build_recipe(settings: config.FiltersConfig) -> Recipe:
    """The recipe that the settings ask for.

    A threshold for a reason that the preset has takes the preset's place; others are tried after those.
    Raises :class:`ConfigError` for an unknown preset, reason or language, and for a condition on what nothing
    measures.
    """
    preset = _preset(settings.preset)
    language.refuse_unknown(settings.languages, "filters.languages")
    conditions = [
        Condition(reason, *RULES[reason], limit, by_language)
        for reason, (limit, by_language) in _limits(preset, settings).items()
    ]
    _refuse_unmeasured(conditions, settings)
    return Recipe(
        preset=preset,
        url_conditions=tuple(condition for condition in conditions if condition.reason.stage == "url"),
        text_conditions=tuple(condition for condition in conditions if condition.reason.stage != "url"),
        mask_pii=preset.mask_pii and settings.mask_pii,
        languages=frozenset(settings.languages),
    )


def differing_settings(one: Recipe, other: Recipe) -> list[str]:
    """The settings by which two recipes measure differently: one's numbers cannot decide for the other.

    None: whatever one has measured, the other would have.
    """
    keys = ("counting", "split_unspaced", "lines", "terminal_punctuation", "toxic_sentence")
    return [key for key in keys if getattr(one.preset, key) != getattr(other.preset, key)]


def resolved_thresholds(settings: config.FiltersConfig) -> dict[str, float]:
    """Every condition in force by its reason, in the order in which they are tried, for manifests."""
    return {condition.reason.value: condition.threshold for condition in build_recipe(settings).conditions}


def resolved(settings: config.FiltersConfig) -> dict[str, Any]:
    """What decides beside the settings themselves, for manifests: thresholds, in all and by language; files.

    Raises :class:`InputError` for a file that is not there.
    """
    in_force = build_recipe(settings).conditions
    return {
        "thresholds": resolved_thresholds(settings),
        "thresholds_by_language": {
            condition.reason.value: dict(condition.by_language)
            for condition in in_force
            if condition.by_language
        },
        "files": {
            key: [f"{file.path} {file.size} {file.version}" for file in storage.list_files(path)]
            for key in FILE_SETTINGS
            if (path := getattr(settings, key))
        },
    }


def _limits(
    preset: Preset, settings: config.FiltersConfig
) -> dict[Reason, tuple[float, Mapping[str, float]]]:
    """Each condition's threshold, and those of single languages."""
    limits: dict[Reason, tuple[float, Mapping[str, float]]] = {
        reason: (limit, preset.by_language.of(reason)) for reason, limit in preset.thresholds.items()
    }
    for name, given in settings.thresholds.items():
        reason = _reason(name)
        if not isinstance(given, dict):
            limits[reason] = (given, {})
            continue
        limit, by_language = limits.get(reason, (given.get("default"), {}))
        limit = given.get("default", limit)
        if limit is None:
            raise ConfigError(
                f"filters.thresholds.{name}: only for {', '.join(given)}, and preset {settings.preset} has "
                "none: other languages need one; add default = …"
            )
        own = {code: value for code, value in given.items() if code != "default"}
        language.refuse_unknown(own, f"filters.thresholds.{name}")
        limits[reason] = (limit, {**by_language, **own})
    return limits


def _refuse_unmeasured(conditions: list[Condition], settings: config.FiltersConfig) -> None:
    """A threshold above 0 for quality is refused where no model measures it."""
    for condition in conditions:
        if condition.metric == "quality" and not settings.quality_model and not condition.holds(0.0):
            raise ConfigError(
                f"filters.quality_model is empty: {condition.reason} = {condition.threshold} needs a model; "
                f"name one, or turn the condition off by --set 'filters.thresholds.\"{condition.reason}\"=0'"
            )


@cache
def _preset(name: str) -> Preset:
    if name not in preset_names():
        raise ConfigError(
            f"filters.preset = {name!r}: no such preset; the nearest valid name is {nearest(name, preset_names())}"
        )
    return Preset.model_validate(read_toml("pipeline.filters", f"presets/{name}.toml"))


def _reason(name: str) -> Reason:
    if name not in {reason.value for reason in RULES}:
        near = nearest(name, [reason.value for reason in RULES])
        raise ConfigError(f"filters.thresholds: {name!r} is no condition; the nearest valid name is {near}")
    return Reason(name)

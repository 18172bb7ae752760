"""Recipes: a preset's conditions, with the configuration's own thresholds on top.

A preset is a TOML file in ``presets/``: how it counts and edits, and an ordered table of reasons and
thresholds, optionally with other thresholds per language. The configuration may override thresholds and add
conditions. :func:`first_failing` is the only place that decides about a record.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from core import config, storage
from core.errors import ConfigError, InputError
from core.messages import nearest
from core.resources import read_toml
from pipeline.languages import codes
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
"""The keys of ``[filters]`` that are paths."""

Counting = Literal["datatrove", "dclm", "dolma"]
Lines = Literal["all", "c4", "finished", "refinedweb"]


class LanguageThresholds(BaseModel):
    """Thresholds per language: one row per language, in the order of ``conditions``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    conditions: tuple[Reason, ...] = ()
    rows: dict[str, tuple[float, ...]] = {}

    @model_validator(mode="after")
    def _rows_are_complete(self) -> "LanguageThresholds":
        if any(len(row) != len(self.conditions) for row in self.rows.values()):
            raise PydanticCustomError("rows", "every row must have a figure for every condition")
        return self

    def for_reason(self, reason: Reason) -> dict[str, float]:
        """Return the threshold of one condition by language."""
        if reason not in self.conditions:
            return {}
        column = self.conditions.index(reason)
        return {code: row[column] for code, row in self.rows.items()}


class Preset(BaseModel):
    """One preset as its TOML file defines it. Thresholds are in the order in which they are evaluated."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    title: str
    counting: Counting = "datatrove"
    """Variant of Gopher's metrics; see ``gopher.py``, ``dclm.py`` and ``dolma.py``."""
    split_unspaced: bool = True
    """If True, every letter of a script without spaces is a word; otherwise only punctuation separates words,
    as in datatrove's English filters."""
    lines: Lines = "all"
    """The line rules that edit the text."""
    terminal_punctuation: bool = False
    """If True, C4's rules, which are always measured, keep only lines that end in terminal punctuation."""
    toxic_sentence: float | None = None
    """Sentences with at least this toxicity are removed from the text."""
    mask_pii: bool = True
    thresholds: dict[Reason, float]
    by_language: LanguageThresholds = LanguageThresholds()


@dataclass(frozen=True, slots=True)
class Condition:
    """A metric with a lower or upper bound. A record that violates it is dropped."""

    reason: Reason
    metric: str
    bound: Bound
    threshold: float
    by_language: Mapping[str, float]

    def limit(self, language: str) -> float:
        """Return the threshold for texts in ``language``."""
        return self.by_language.get(language, self.threshold)

    def holds(self, value: float | None, language: str = "") -> bool:
        """True if ``value`` satisfies the condition, or was not measured."""
        if value is None:
            return True
        return satisfies(self.bound, value, self.limit(language))


@dataclass(frozen=True, slots=True)
class Recipe:
    """A preset combined with the configuration's own settings."""

    preset: Preset
    url_conditions: tuple[Condition, ...]
    """Conditions on the URL, evaluated before extraction."""
    text_conditions: tuple[Condition, ...]
    mask_pii: bool
    languages: frozenset[str]

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All conditions, in the order in which they are evaluated."""
        return self.url_conditions + self.text_conditions


def first_failing(
    recipe: Recipe, metrics: Mapping[str, float | None], language: str = "", score: float | None = None
) -> Drop | None:
    """Return the first condition that fails, or None if the record is kept.

    Decides from the record's metrics alone, during the run or later. A condition on a metric that is missing
    or None holds. The language is not checked if ``score``, its ``language_score``, is None.
    """
    if drop := _first_failing(recipe.url_conditions, metrics, language):
        return drop
    if score is not None and recipe.languages and language not in recipe.languages:
        return Drop(Reason.LANGUAGE_UNWANTED, score)
    return _first_failing(recipe.text_conditions, {**metrics, "language_score": score}, language)


def _first_failing(
    conditions: tuple[Condition, ...], metrics: Mapping[str, float | None], language: str
) -> Drop | None:
    for condition in conditions:
        value = metrics.get(condition.metric)
        if value is not None and not satisfies(condition.bound, value, limit := condition.limit(language)):
            return Drop(condition.reason, value, limit)
    return None


def preset_names() -> list[str]:
    """Return the names of all presets, sorted."""
    files = resources.files("pipeline.filters").joinpath("presets").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def build_recipe(settings: config.FiltersConfig) -> Recipe:
    """Build the recipe that the settings describe.

    A configured threshold replaces the preset's for the same reason; further ones are evaluated after those
    of the preset. Raises :class:`ConfigError` for an unknown preset, reason or language, and for a condition
    on a metric that is not measured.
    """
    preset = _load_preset(settings.preset)
    conditions = [
        Condition(reason, *RULES[reason], limit, by_language)
        for reason, (limit, by_language) in _limits(preset, settings).items()
    ]
    _refuse_unmeasured(conditions, settings)
    return Recipe(
        preset=preset,
        url_conditions=tuple(condition for condition in conditions if condition.reason.stage == "url"),
        text_conditions=tuple(condition for condition in conditions if condition.reason.stage != "url"),
        mask_pii=preset.mask_pii if settings.mask_pii == "preset" else settings.mask_pii,
        languages=frozenset(_codes(settings.languages, "filters.languages", settings)),
    )


def validate(settings: config.FiltersConfig) -> None:
    """Raise like :func:`build_recipe`, and :class:`InputError` for a local file that does not exist."""
    build_recipe(settings)
    for key in FILE_SETTINGS:
        if path := getattr(settings, key):
            try:
                storage.check_local(path)
            except InputError as error:
                raise InputError(f"filters.{key} = {error}") from None


def differing_settings(one: Recipe, other: Recipe) -> list[str]:
    """Return the preset settings that make two recipes measure or edit differently.

    If there are any, the metrics of one recipe cannot decide for the other.
    """
    keys = ("counting", "split_unspaced", "lines", "terminal_punctuation", "toxic_sentence")
    return [key for key in keys if getattr(one.preset, key) != getattr(other.preset, key)]


def resolved_thresholds(settings: config.FiltersConfig) -> dict[str, float]:
    """Return every threshold in force by reason, in the order of evaluation, for manifests."""
    return {condition.reason.value: condition.threshold for condition in build_recipe(settings).conditions}


def resolved(settings: config.FiltersConfig) -> dict[str, Any]:
    """Return what the settings amount to: the thresholds, if personal data is masked, the versions of files.

    For manifests. Raises :class:`InputError` for a file that does not exist.
    """
    recipe = build_recipe(settings)
    return {
        "mask_pii": recipe.mask_pii,
        "thresholds": resolved_thresholds(settings),
        "thresholds_by_language": {
            condition.reason.value: dict(condition.by_language)
            for condition in recipe.conditions
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
    """Return each condition's threshold and its thresholds by language."""
    limits: dict[Reason, tuple[float, Mapping[str, float]]] = {
        reason: (limit, preset.by_language.for_reason(reason)) for reason, limit in preset.thresholds.items()
    }
    for name, configured in settings.thresholds.items():
        reason = _parse_reason(name)
        if not isinstance(configured, dict):
            limits[reason] = (configured, {})
            continue
        limit, by_language = limits.get(reason, (configured.get("default"), {}))
        limit = configured.get("default", limit)
        if limit is None:
            raise ConfigError(
                f"filters.thresholds.{name}: only for {', '.join(configured)}, and preset {settings.preset} "
                "has none: other languages need one; add default = …"
            )
        overrides = {code: value for code, value in configured.items() if code != "default"}
        codes = _codes(overrides, f"filters.thresholds.{name}", settings)
        limits[reason] = (limit, {**by_language, **dict(zip(codes, overrides.values(), strict=True))})
    return limits


def _codes(languages: Iterable[str], key: str, settings: config.FiltersConfig) -> list[str]:
    """Return our codes for the languages that the setting ``key`` names."""
    other_model = bool(settings.language_model)
    return [codes.configured(each, key, other_model=other_model) for each in languages]


def _refuse_unmeasured(conditions: list[Condition], settings: config.FiltersConfig) -> None:
    """Refuse a positive quality threshold without a quality model."""
    for condition in conditions:
        if condition.metric == "quality" and not settings.quality_model and not condition.holds(0.0):
            raise ConfigError(
                f"filters.quality_model is empty: {condition.reason} = {condition.threshold} needs a model; "
                f"name one, or turn the condition off by --set 'filters.thresholds.\"{condition.reason}\"=0'"
            )


@cache
def _load_preset(name: str) -> Preset:
    names = preset_names()
    if name not in names:
        near = nearest(name, names)
        raise ConfigError(f"filters.preset = {name!r}: no such preset; the nearest valid name is {near}")
    return Preset.model_validate(read_toml("pipeline.filters", f"presets/{name}.toml"))


def _parse_reason(name: str) -> Reason:
    if name not in {reason.value for reason in RULES}:
        near = nearest(name, [reason.value for reason in RULES])
        raise ConfigError(
            f"filters.thresholds: {name!r} is not a condition; the nearest valid name is {near}"
        )
    return Reason(name)

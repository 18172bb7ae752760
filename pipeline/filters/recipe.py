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
from typing import Literal

from pydantic import BaseModel, ConfigDict

from pipeline import config
from pipeline.errors import ConfigError
from pipeline.ledger import Reason

RULES: dict[Reason, tuple[str, Literal["at least", "at most"]]] = {
    Reason.URL_DOMAIN: ("url_domain", "at most"),
    Reason.URL_ADDRESS: ("url_address", "at most"),
    Reason.URL_WORD: ("url_word", "at most"),
    Reason.URL_SOFT_WORDS: ("url_soft_words", "at most"),
    Reason.URL_FRAGMENT: ("url_fragment", "at most"),
    Reason.LANGUAGE_SCORE: ("language_score", "at least"),
    Reason.GOPHER_DUPLICATE_PARAGRAPHS: ("gopher_duplicate_paragraphs", "at most"),
    Reason.GOPHER_DUPLICATE_PARAGRAPH_CHARACTERS: ("gopher_duplicate_paragraph_characters", "at most"),
    Reason.GOPHER_DUPLICATE_LINES: ("gopher_duplicate_lines", "at most"),
    Reason.GOPHER_DUPLICATE_LINE_CHARACTERS: ("gopher_duplicate_line_characters", "at most"),
    Reason.GOPHER_TOP_2_GRAM: ("gopher_top_2_gram", "at most"),
    Reason.GOPHER_TOP_3_GRAM: ("gopher_top_3_gram", "at most"),
    Reason.GOPHER_TOP_4_GRAM: ("gopher_top_4_gram", "at most"),
    Reason.GOPHER_DUPLICATE_5_GRAMS: ("gopher_duplicate_5_grams", "at most"),
    Reason.GOPHER_DUPLICATE_6_GRAMS: ("gopher_duplicate_6_grams", "at most"),
    Reason.GOPHER_DUPLICATE_7_GRAMS: ("gopher_duplicate_7_grams", "at most"),
    Reason.GOPHER_DUPLICATE_8_GRAMS: ("gopher_duplicate_8_grams", "at most"),
    Reason.GOPHER_DUPLICATE_9_GRAMS: ("gopher_duplicate_9_grams", "at most"),
    Reason.GOPHER_DUPLICATE_10_GRAMS: ("gopher_duplicate_10_grams", "at most"),
    Reason.GOPHER_FEW_WORDS: ("gopher_words", "at least"),
    Reason.GOPHER_MANY_WORDS: ("gopher_words", "at most"),
    Reason.GOPHER_SHORT_WORDS: ("gopher_mean_word_length", "at least"),
    Reason.GOPHER_LONG_WORDS: ("gopher_mean_word_length", "at most"),
    Reason.GOPHER_HASHES: ("gopher_hashes_per_word", "at most"),
    Reason.GOPHER_ELLIPSES: ("gopher_ellipses_per_word", "at most"),
    Reason.GOPHER_BULLET_LINES: ("gopher_bullet_lines", "at most"),
    Reason.GOPHER_ELLIPSIS_LINES: ("gopher_ellipsis_lines", "at most"),
    Reason.GOPHER_UNALPHABETIC: ("gopher_alphabetic_words", "at least"),
    Reason.GOPHER_FEW_STOP_WORDS: ("gopher_stop_words", "at least"),
    Reason.C4_LOREM_IPSUM: ("c4_lorem_ipsum", "at most"),
    Reason.C4_CURLY_BRACKET: ("c4_curly_brackets", "at most"),
    Reason.C4_FEW_SENTENCES: ("c4_sentences", "at least"),
    Reason.FINEWEB_UNFINISHED_LINES: ("fineweb_finished_lines", "at least"),
    Reason.FINEWEB_SHORT_LINES: ("fineweb_short_lines", "at most"),
    Reason.FINEWEB_DUPLICATE_LINE_CHARACTERS: ("fineweb_duplicate_line_characters", "at most"),
    Reason.FINEWEB_NEWLINES: ("fineweb_newlines_per_word", "at most"),
    Reason.TOXICITY_SCORE: ("toxicity", "at most"),
}
"""What each condition demands of which measure."""


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
    demand: Literal["at least", "at most"]
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

"""Compute the funnel and groups of records from counts by source, language and reason."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from pydantic import BaseModel, ConfigDict

from core.resources import read_toml
from pipeline.reports.content import Group, Step

UNREADABLE = "unreadable"
BEFORE_EXTRACTION = (UNREADABLE, "read", "url")
"""Stages after which words are not counted yet."""


class Stage(BaseModel):
    """Title of a stage, and a description of what it drops."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    title: str
    drops: str


@cache
def stages() -> dict[str, Stage]:
    """Every stage by name, in the order in which records pass them."""
    return {
        name: Stage.model_validate(each)
        for name, each in read_toml("pipeline.reports", "stages.toml").items()
    }


@dataclass(frozen=True, slots=True)
class Fate:
    """Number of readable records of one source and language that one reason dropped."""

    source: str
    language: str
    """Empty for records that were dropped before language identification."""
    reason: str
    """Empty for records that were kept."""
    records: int
    words: int
    """Words of the extracted texts; 0 for records that were dropped earlier."""

    @property
    def stage(self) -> str:
        """The stage that dropped the records."""
        return self.reason.partition(".")[0]


def funnel(
    fates: Sequence[Fate], unreadable: int, tokens: Mapping[str, int], order: Sequence[str]
) -> list[Step]:
    """Return all records (a step without a name), then the records that remain after each stage.

    ``order``: stages in the order in which records pass them, possibly repeated. ``tokens``: tokens of the
    kept documents by source, or empty. Tokens of dropped records are unknown; they are estimated from their
    words by the rate of the kept documents of their source.
    """
    order = list(dict.fromkeys(order))
    words = {stage: _words_by_source(fates, stage) for stage in ("", *order)}
    estimate = _token_estimator(words[""], tokens)
    dropped = Counter({UNREADABLE: unreadable})
    for fate in fates:
        dropped[fate.stage] += fate.records
    records, remaining = dropped.total(), Counter[str]()
    for of_stage in words.values():
        remaining += of_stage
    steps = [Step("", 0, records, remaining.total(), estimate(remaining))]
    for stage in (UNREADABLE, *order):
        records -= dropped[stage]
        remaining -= words.get(stage, Counter())
        is_counted = stage not in BEFORE_EXTRACTION
        counts = (remaining.total(), estimate(remaining)) if is_counted else (None, None)
        steps.append(Step(stage, dropped[stage], records, *counts))
    return steps


def _words_by_source(fates: Iterable[Fate], stage: str) -> Counter[str]:
    """Count the words of the records that one stage dropped."""
    counted: Counter[str] = Counter()
    for fate in fates:
        if fate.stage == stage:
            counted[fate.source] += fate.words
    return counted


def _token_estimator(
    kept: Mapping[str, int], tokens: Mapping[str, int]
) -> Callable[[Mapping[str, int]], int | None]:
    """Return a function that estimates tokens from words by source.

    Sources without kept documents have the average rate. Without ``tokens`` the estimate is None.
    """
    rates = {source: tokens[source] / kept[source] for source in tokens if kept.get(source)}
    if not rates:
        return lambda _: None
    average = sum(tokens[source] for source in rates) / sum(kept[source] for source in rates)
    return lambda words: round(sum(count * rates.get(source, average) for source, count in words.items()))


def groups(fates: Iterable[Fate], label: Callable[[Fate], str], limit: int) -> list[Group]:
    """Return the largest groups of records with the same label; records with an empty label are left out."""
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for fate in fates:
        if label(fate):
            reasons[label(fate)][fate.reason] += fate.records
    found = [
        Group(
            name,
            counts.total(),
            counts[""],
            max((reason for reason in counts if reason), key=lambda reason: counts[reason], default=""),
        )
        for name, counts in reasons.items()
    ]
    return sorted(found, key=lambda group: (-group.records, group.label))[:limit]

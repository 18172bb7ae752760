"""From what became of the records, counted, to the funnel and to groups of records."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from pydantic import BaseModel, ConfigDict

from core.resources import read_toml
from pipeline.reports.content import Group, Step

UNREADABLE = "unreadable"
BEFORE_TEXT = (UNREADABLE, "read", "url")
"""Stages after which words are not counted yet."""


class Stage(BaseModel):
    """A stage's title, and what is dropped there."""

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
    """How many readable records of a source and language one reason dropped, or (empty) none did."""

    source: str
    language: str
    """Empty for records that were dropped before their language was identified."""
    reason: str
    records: int
    words: int
    """In the text that was extracted; 0 for records dropped before."""

    @property
    def stage(self) -> str:
        """The stage that dropped them."""
        return self.reason.partition(".")[0]


def funnel(
    fates: Sequence[Fate], unreadable: int, tokens: Mapping[str, int], order: Sequence[str]
) -> list[Step]:
    """All records (a step without a name), then what was left after each stage.

    ``order``: stages as they are passed, each as often as one likes. ``tokens``: of the kept documents, by
    source, or empty. How many tokens the dropped had is not known; they are taken to have as many per word as
    the kept of their source.
    """
    order = list(dict.fromkeys(order))
    words = {stage: _words(fates, stage) for stage in ("", *order)}
    tokens_of = _estimate(words[""], tokens)
    dropped = Counter({UNREADABLE: unreadable})
    for fate in fates:
        dropped[fate.stage] += fate.records
    records, left = dropped.total(), Counter[str]()
    for of_stage in words.values():
        left += of_stage
    steps = [Step("", 0, records, left.total(), tokens_of(left))]
    for stage in (UNREADABLE, *order):
        records -= dropped[stage]
        left -= words.get(stage, Counter())
        counted = stage not in BEFORE_TEXT
        known = (left.total(), tokens_of(left)) if counted else (None, None)
        steps.append(Step(stage, dropped[stage], records, *known))
    return steps


def _words(fates: Iterable[Fate], stage: str) -> Counter[str]:
    """Words of what one stage dropped, by source."""
    counted: Counter[str] = Counter()
    for fate in fates:
        if fate.stage == stage:
            counted[fate.source] += fate.words
    return counted


def _estimate(
    kept: Mapping[str, int], tokens: Mapping[str, int]
) -> Callable[[Mapping[str, int]], int | None]:
    """How many tokens words have, by source; for sources of which nothing was kept by the rate of all."""
    known = {source: tokens[source] / kept[source] for source in tokens if kept.get(source)}
    if not known:
        return lambda _: None
    of_all = sum(tokens[source] for source in known) / sum(kept[source] for source in known)
    return lambda words: round(sum(count * known.get(source, of_all) for source, count in words.items()))


def groups(fates: Iterable[Fate], label: Callable[[Fate], str], limit: int) -> list[Group]:
    """The largest groups of records with the same label, without those that have none."""
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for fate in fates:
        if label(fate):
            reasons[label(fate)][fate.reason] += fate.records
    found = [
        Group(
            name,
            of.total(),
            of[""],
            max((reason for reason in of if reason), key=lambda r: of[r], default=""),
        )
        for name, of in reasons.items()
    ]
    return sorted(found, key=lambda group: (-group.records, group.label))[:limit]

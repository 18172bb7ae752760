"""The funnel: records that reach each condition and records that it drops, with warnings."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from pipeline.ledger.reasons import Reason

MAX_SHARE = 0.9
"""A condition that drops a larger share of the records that reach it probably has a wrong threshold."""
NUM_NAMED = 3
"""Conditions that dropped nothing and are named in a summary."""


class FunnelStep(BaseModel):
    """One condition: ``reached`` records passed all earlier ones, and ``dropped`` of these failed it."""

    model_config = ConfigDict(frozen=True)
    reason: Reason
    reached: int
    dropped: int

    @property
    def warning(self) -> str:
        """A sentence about a condition that dropped nothing or almost everything; otherwise empty."""
        of_reached = f"the {self.reached:,} records that reached it"
        if self.reached and not self.dropped:
            return f"{self.reason} never fired: it dropped none of {of_reached}"
        if self.dropped > MAX_SHARE * self.reached:
            return (
                f"{self.reason} dropped {self.dropped / self.reached:.1%}: {self.dropped:,} of {of_reached}"
            )
        return ""


def warnings(steps: Sequence[FunnelStep], configured: Collection[str] = ()) -> Iterator[str]:
    """Yield a line per condition that dropped almost everything, and one about all that dropped nothing.

    It names three: ``configured`` conditions, then the first one of each stage, idle stages first.
    """
    yield from (step.warning for step in steps if step.dropped and step.warning)
    idle = [step for step in steps if step.reached and not step.dropped]
    busy = {step.reason.stage for step in steps if step.dropped}
    idle.sort(key=lambda step: (step.reason not in configured, step.reason.stage in busy))
    first_of_stage: dict[str, str] = {}
    for step in idle:
        first_of_stage.setdefault(step.reason.stage, step.reason.value)
    named = list(dict.fromkeys([*first_of_stage.values(), *(step.reason.value for step in idle)]))[:NUM_NAMED]
    if len(idle) > len(named):
        named.append(f"{len(idle) - len(named)} more")
    if named:
        yield f"{len(idle)} of {len(steps)} conditions never fired: {', '.join(named)}; the report lists them"


def funnel_steps(
    counts: Mapping[str, int], num_with_url: int, conditions: Iterable[Reason]
) -> list[FunnelStep]:
    """Return a step per condition, in the order of evaluation: those on URLs first.

    ``counts``: the counts of a clean run. ``num_with_url``: the records that passed reading and have a URL;
    only these reach the conditions on URLs.
    """
    by_stage = {"read": 0, "url": 0, "extract": 0}
    for key, count in counts.items():
        stage = key.removeprefix("dropped.").partition(".")[0]
        if key.startswith("dropped.") and stage in by_stage:
            by_stage[stage] += count
    num_with_text = counts["records_in"] - counts["quarantined"] - sum(by_stage.values())
    reached = {True: num_with_url, False: num_with_text}
    steps = []
    for reason in sorted(conditions, key=lambda reason: reason.stage != "url"):
        dropped = counts.get(f"dropped.{reason}", 0)
        on_url = reason.stage == "url"
        steps.append(FunnelStep(reason=reason, reached=reached[on_url], dropped=dropped))
        reached[on_url] -= dropped
    return steps

"""How many records each condition was asked about and how many it dropped; which are idle or greedy."""

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict

from pipeline.ledger.reasons import Reason

GREEDY = 0.9
"""A condition that drops a larger share of what reaches it is suspected of a wrong threshold."""


class FunnelStep(BaseModel):
    """One condition of a run: ``reached`` records were dropped by nothing before it, ``dropped`` by it."""

    model_config = ConfigDict(frozen=True)
    reason: Reason
    reached: int
    dropped: int

    @property
    def warning(self) -> str:
        """What is remarkable about it, in a sentence; empty: nothing."""
        of_reached = f"the {self.reached:,} records that reached it"
        if self.reached and not self.dropped:
            return f"{self.reason} never fired: it dropped none of {of_reached}"
        if self.dropped > GREEDY * self.reached:
            return (
                f"{self.reason} dropped {self.dropped / self.reached:.1%}: {self.dropped:,} of {of_reached}"
            )
        return ""


def funnel_steps(counts: Mapping[str, int], addressed: int, conditions: Iterable[Reason]) -> list[FunnelStep]:
    """The conditions in the order given, those on addresses before all others, as they are tried.

    ``counts``: a clean run's; ``addressed``: of the records that reading let through, those with an address,
    which alone the conditions on addresses look at.
    """
    by_stage = {"read": 0, "url": 0, "extract": 0}
    for key, count in counts.items():
        stage = key.removeprefix("dropped.").partition(".")[0]
        if key.startswith("dropped.") and stage in by_stage:
            by_stage[stage] += count
    measured = counts["records_in"] - counts["quarantined"] - sum(by_stage.values())
    reached = {True: addressed, False: measured}
    found = []
    for reason in sorted(conditions, key=lambda reason: reason.stage != "url"):
        dropped = counts.get(f"dropped.{reason}", 0)
        url_conditions = reason.stage == "url"
        found.append(FunnelStep(reason=reason, reached=reached[url_conditions], dropped=dropped))
        reached[url_conditions] -= dropped
    return found

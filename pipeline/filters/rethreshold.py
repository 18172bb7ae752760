"""Decide about an already measured record under another recipe, from its stored metrics alone."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline.filters.recipe import Recipe, first_failing
from pipeline.ledger import Reason

COLUMNS = ("reason", "language", "language_score", "metrics", "contamination", "keys")
"""Fields of a record that :func:`decide` reads."""


class Decision(NamedTuple):
    """Decision about a record before deduplication."""

    reason: str | None
    """Why it is dropped; None if it is kept."""
    unmeasured: str | None
    """Reason that could not be evaluated, so that the decision is uncertain; None if it is certain."""


def decide(record: Mapping[str, Any], recipe: Recipe) -> Decision:
    """Decide about a record as a run under ``recipe`` would.

    A record that was dropped before it had a text stays dropped. This is uncertain if the run dropped it by
    its address and ``recipe`` would not: its text was never measured. A record is also uncertain if it lacks
    a metric that a condition needs, or its duplicate keys. Evaluation items stay those of the run.
    """
    previous, score = record["reason"], record["language_score"]
    metrics = record["metrics"] or {}
    stage = Reason(previous).stage if previous else ""
    if stage == "read":
        return Decision(previous, None)
    if drop := first_failing(recipe, metrics, record["language"] or "", score):
        return Decision(drop.reason.value, None)
    if score is None:
        return Decision(previous, previous if stage == "url" else None)
    for condition in recipe.text_conditions:
        if condition.metric != "language_score" and metrics.get(condition.metric) is None:
            return Decision(None, condition.reason.value)
    if (contamination := record["contamination"]) and contamination["drops"]:
        return Decision(Reason.CONTAMINATION.value, None)
    return Decision(None, None if record["keys"] else Reason.NEAR_DUPLICATE.value)

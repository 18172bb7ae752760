"""Compare two funnels over the same records."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pipeline.ledger.reasons import Reason

QUARANTINED = "quarantined"
NUM_LANGUAGES = 10
"""Languages shown, at most."""


class Change(NamedTuple):
    """Number of records with given outcomes before and after: a reason, None for kept, or ``QUARANTINED``."""

    before: str | None
    after: str | None
    language: str | None
    unmeasured: str | None
    """Reason not evaluated, so that ``after`` is uncertain: see :mod:`pipeline.filters.rethreshold`."""
    records: int


def side_by_side(changes: Iterable[Change], before: str, after: str) -> Iterator[str]:
    """Yield a table of records by outcome, then a summary of the changes, and kept records by language.

    ``before`` and ``after`` are the titles of the two columns.
    """
    changes = list(changes)
    left, right = _count(changes, 0), _count(changes, 1)
    width = max(12, len(before), len(after))
    yield f"  {'':<40} {before:>{width}} {after:>{width}}"
    for name in _row_names(left + right):
        yield f"  {name:<40} {left[name]:>{width},} {right[name]:>{width},}"
    yield _summary(changes)
    yield from _languages(changes)
    yield from _uncertainties(changes)


def _count(changes: list[Change], field: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    for change in changes:
        outcome = change[field] or "kept"
        counts[str(outcome)] += change.records
        counts["records in"] += change.records
        counts["dropped"] += change.records * (outcome not in ("kept", QUARANTINED))
    return counts


def _row_names(counts: Counter[str]) -> list[str]:
    reasons = [reason.value for reason in Reason if counts[reason.value]]
    return ["records in", QUARANTINED, *reasons, "dropped", "kept"]


def _summary(changes: list[Change]) -> str:
    newly_kept = newly_dropped = other_reason = 0
    for change in changes:
        if change.before == change.after:
            continue
        if change.after is None:
            newly_kept += change.records
        elif change.before is None:
            newly_dropped += change.records
        else:
            other_reason += change.records
    return (
        f"{newly_kept:,} newly kept, {newly_dropped:,} newly dropped, "
        f"{other_reason:,} dropped for another reason"
    )


def _languages(changes: list[Change]) -> Iterator[str]:
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for change in changes:
        name = change.language or "unknown"
        before[name] += change.records * (change.before is None)
        after[name] += change.records * (change.after is None)
    most = sorted((before | after).items(), key=lambda item: (-item[1], item[0]))[:NUM_LANGUAGES]
    shown = [f"{name} {before[name]:,} → {after[name]:,}" for name, count in most if count]
    if shown:
        yield f"kept by language: {', '.join(shown)}"


def _uncertainties(changes: list[Change]) -> Iterator[str]:
    counts: Counter[tuple[str, bool]] = Counter()
    for change in changes:
        if change.unmeasured:
            counts[change.unmeasured, change.after == change.unmeasured] += change.records
    for (reason, still_dropped), count in sorted(counts.items()):
        if still_dropped:
            yield f"not certain: {count:,} remain dropped by {reason}, since they were not measured further"
        else:
            yield f"not certain: {count:,} were not checked for {reason}, which the run did not measure"

"""Two funnels over the same records, side by side."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pipeline.ledger.reasons import Reason

QUARANTINED = "quarantined"
LANGUAGES = 10


class Change(NamedTuple):
    """So many records with one fate before and one after: a reason, None for kept, or ``QUARANTINED``."""

    before: str | None
    after: str | None
    language: str | None
    unmeasured: str | None
    """Reason not evaluated, so that ``after`` is uncertain: see :mod:`pipeline.filters.rethreshold`."""
    records: int


def side_by_side(changes: Iterable[Change], before: str, after: str) -> Iterator[str]:
    """A table of records by fate under both names, then what changed, then kept records by language."""
    changes = list(changes)
    left, right = _tally(changes, 0), _tally(changes, 1)
    width = max(12, len(before), len(after))
    yield f"  {'':<40} {before:>{width}} {after:>{width}}"
    for name in _rows(left + right):
        yield f"  {name:<40} {left[name]:>{width},} {right[name]:>{width},}"
    yield _summary(changes)
    yield from _languages(changes)
    yield from _doubts(changes)


def _tally(changes: list[Change], place: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    for change in changes:
        fate = change[place] or "kept"
        counts[str(fate)] += change.records
        counts["records in"] += change.records
        counts["dropped"] += change.records * (fate not in ("kept", QUARANTINED))
    return counts


def _rows(counts: Counter[str]) -> list[str]:
    reasons = [reason.value for reason in Reason if counts[reason.value]]
    return ["records in", QUARANTINED, *reasons, "dropped", "kept"]


def _summary(changes: list[Change]) -> str:
    counts: Counter[str] = Counter()
    for change in changes:
        if change.before != change.after:
            kind = "kept" if change.after is None else "dropped" if change.before is None else "otherwise"
            counts[kind] += change.records
    return (
        f"{counts['kept']:,} newly kept, {counts['dropped']:,} newly dropped, "
        f"{counts['otherwise']:,} dropped for another reason"
    )


def _languages(changes: list[Change]) -> Iterator[str]:
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for change in changes:
        name = change.language or "unknown"
        before[name] += change.records * (change.before is None)
        after[name] += change.records * (change.after is None)
    most = sorted((before | after).items(), key=lambda item: (-item[1], item[0]))[:LANGUAGES]
    shown = [f"{name} {before[name]:,} → {after[name]:,}" for name, count in most if count]
    if shown:
        yield f"kept by language: {', '.join(shown)}"


def _doubts(changes: list[Change]) -> Iterator[str]:
    doubts: Counter[tuple[str, bool]] = Counter()
    for change in changes:
        if change.unmeasured:
            doubts[change.unmeasured, change.after == change.unmeasured] += change.records
    for (reason, stands), count in sorted(doubts.items()):
        if stands:
            yield f"not certain: {count:,} stay dropped by {reason}, since they were not measured any further"
        else:
            yield f"not certain: {count:,} were not asked about {reason}, which the run did not measure"

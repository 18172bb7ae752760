"""Choose the document of a duplicate cluster that survives, and decide about the others.

The cluster's best document survives. Of exact copies the first survives. These rules are written once for
Spark, which finds both by window functions (``pipeline/spark/clusters.py``), and for a single process.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from core.config import DedupConfig
from pipeline.ledger import Reason


class Duplicate(NamedTuple):
    """A dropped duplicate: why it was dropped, and the id of the document that survives."""

    reason: Reason
    duplicate_of: str


def preference(words: Any, identifier: Any) -> tuple[Any, Any]:
    """Return the sort key of a document within its cluster; the least is the best.

    The longest document is best, then the one with the least id. Takes numbers and ids, or the columns of a
    data frame that hold them.
    """
    return -words, identifier


def decide(identifier: str, best: str, first_copy: str, settings: DedupConfig) -> Duplicate | None:
    """Return the decision that drops a member of a cluster, or None if it survives.

    ``best``: the least member by :func:`preference`. ``first_copy``: the least id among the members with
    the same text. ``settings`` may turn off either kind of deduplication.
    """
    is_copy = settings.exact and identifier != first_copy
    is_near = settings.near and identifier != best
    if not is_copy and not is_near:
        return None
    reason = Reason.EXACT_DUPLICATE if is_copy else Reason.NEAR_DUPLICATE
    return Duplicate(reason, best if is_near else first_copy)


def duplicates(
    members: Sequence[Mapping[str, Any]], settings: DedupConfig
) -> Iterator[tuple[str, Duplicate]]:
    """Decide about a cluster that fits in memory: the id of each dropped member with its decision.

    Every member has ``id``, ``words`` and ``text_hash``.
    """
    best = min(members, key=lambda member: preference(member["words"], member["id"]))["id"]
    first_copies: dict[str, str] = {}
    for member in sorted(members, key=lambda member: member["id"]):
        first_copy = first_copies.setdefault(member["text_hash"], member["id"])
        if duplicate := decide(member["id"], best, first_copy, settings):
            yield member["id"], duplicate

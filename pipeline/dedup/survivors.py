"""Decide which documents of a cluster of candidates survive.

Documents are visited in the order of preference (``dedup.keep``). One is dropped if its text equals that of a
document before it, or if it resembles a survivor with which it shares a key; else it survives. Hence:

- A dropped document resembles the survivor that the ledger names, also in a chain A ~ B ~ C with A ≁ C:
  if A is preferred, B is dropped and C survives.
- A decision depends on no documents but those with a key in common, so that a corpus can be compared with an
  earlier one by the earlier one's survivors alone.

Without verification, all near-duplicates of a cluster collapse into its first document, as in datatrove.
These rules are written once, for Spark (``pipeline/spark/dedup/clusters.py``) and for a single process.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.config import DedupConfig
from pipeline.dedup.parameters import parameters
from pipeline.ledger import Reason

Shingles = NDArray[np.uint32]
"""The distinct shingle hashes of a document, ascending."""


class Candidate(NamedTuple):
    """A document that shares a key with another."""

    id: str
    normalized_hash: str
    keys: Sequence[int]
    """The key of its text, then those of its bands."""
    shingles: bytes
    """uint32, ascending; empty for a text shorter than a shingle."""
    indexed: bool = False
    """True if it belongs to an earlier corpus, whose survivors stay."""
    cluster: str = ""
    """The cluster of an indexed document."""


class Decision(NamedTuple):
    """Decision about a member of a cluster."""

    id: str
    cluster: str
    """Id of the cluster's first document, or of the cluster that it was indexed with."""
    cluster_size: int
    """Number of documents that the survivor stands for, itself included."""
    reason: Reason | None
    """Why it is dropped; None if it survives."""
    duplicate_of: str | None
    """Id of the survivor that it duplicates."""
    similarity: float | None
    """Jaccard similarity to the survivor, where it was computed."""


def preference(
    settings: DedupConfig, *, words: int, fetched_at: datetime | None, quality: float | None, source: str
) -> list[float]:
    """Return the sort key of a document by ``dedup.keep``; the least is the best. Ties are for the id.

    A document without the date or the score comes after those with one.
    """
    time = fetched_at.timestamp() if fetched_at else None
    ranks = {name: float(rank) for rank, name in reversed(list(enumerate(settings.sources)))}
    values = {
        "longest": -float(words),
        "newest": float("inf") if time is None else -time,
        "oldest": float("inf") if time is None else time,
        "quality": float("inf") if quality is None or np.isnan(quality) else -quality,
        "source": ranks.get(source, float(len(ranks))),
    }
    return [values[criterion] for criterion in settings.keep]


def jaccard(first: Shingles, second: Shingles, at_least: float = 0.0) -> float:
    """Return the Jaccard similarity of two sets, or 0 if their sizes show that it is below ``at_least``."""
    small, large = sorted((first, second), key=len)
    if not len(small) or len(small) < at_least * len(large):
        return 0.0
    common = int((large.take(large.searchsorted(small), mode="clip") == small).sum())
    return common / (len(small) + len(large) - common)


def decide(candidates: Iterable[Candidate], settings: DedupConfig) -> list[Decision]:
    """Decide about the documents of a cluster, given in the order of preference, indexed ones first.

    Returns one decision for each document that is not indexed. Memory: the keys and shingles of survivors.
    """
    threshold = parameters(settings).threshold
    survivors = _Survivors()
    decided: list[tuple[Candidate, Reason | None, str, float | None]] = []
    first = cluster = ""
    for candidate in candidates:
        first = first or candidate.id
        cluster = cluster or candidate.cluster or candidate.id
        reason, survivor, similarity = None, candidate.id, None
        known = survivors.by_text.get(candidate.normalized_hash)
        if settings.exact and known:
            reason, (survivor, similarity) = Reason.EXACT_DUPLICATE, known
        elif settings.near and not settings.verify and decided:
            reason, survivor = Reason.NEAR_DUPLICATE, first
        elif settings.near and settings.verify and (found := survivors.similar(candidate, threshold)):
            reason, (survivor, similarity) = Reason.NEAR_DUPLICATE, found
        if candidate.indexed or reason is None:
            reason, survivor, similarity = None, candidate.id, None
            survivors.add(candidate)
        of_text = similarity if reason == Reason.NEAR_DUPLICATE else 1.0
        survivors.by_text.setdefault(candidate.normalized_hash, (survivor, of_text))
        decided.append((candidate._replace(shingles=b"", keys=()), reason, survivor, similarity))
    sizes = Counter(survivor for _, _, survivor, _ in decided)
    return [
        Decision(each.id, cluster, sizes[survivor], reason, survivor if reason else None, similarity)
        for each, reason, survivor, similarity in decided
        if not each.indexed
    ]


class _Survivors:
    """The survivors of a cluster so far, by text and by key."""

    def __init__(self) -> None:
        self.by_text: dict[str, tuple[str, float | None]] = {}
        """For each text that was visited, the survivor and the similarity to it."""
        self._ids: list[str] = []
        self._shingles: list[Shingles] = []
        self._with_key: dict[int, list[int]] = defaultdict(list)

    def add(self, candidate: Candidate) -> None:
        for key in candidate.keys:
            self._with_key[key].append(len(self._ids))
        self._ids.append(candidate.id)
        self._shingles.append(np.frombuffer(candidate.shingles, np.uint32))

    def similar(self, candidate: Candidate, threshold: float) -> tuple[str, float] | None:
        """Return the first survivor with a key in common that is similar enough, and how similar it is."""
        indices = {index for key in candidate.keys for index in self._with_key.get(key, ())}
        shingles = np.frombuffer(candidate.shingles, np.uint32)
        for index in sorted(indices):
            if (similarity := jaccard(self._shingles[index], shingles, threshold)) >= threshold:
                return self._ids[index], similarity
        return None

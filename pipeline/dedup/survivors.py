"""Decide which documents of a cluster of candidates survive.

Documents are visited in the order of preference (``dedup.keep``). One is dropped if its text equals that of a
document before it, or if it resembles a survivor with which it shares a key; else it survives. Hence:

- A dropped document resembles the survivor that the ledger names, also in a chain A ~ B ~ C with A ≁ C:
  if A is preferred, B is dropped and C survives.
- A decision depends on no documents but those with a key in common, so that a corpus can be compared with an
  earlier one by the earlier one's survivors alone.

Without verification, all near-duplicates of a cluster collapse into its first document, as in datatrove. A
text shorter than a shingle is never a near-duplicate. These rules are written once, for Spark
(``pipeline/spark/dedup/clusters.py``) and for a single process.
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
    generation: str = ""
    """The generation of a signature index that it belongs to, whose documents stay; else empty."""
    cluster: str = ""
    """The cluster of an indexed document."""
    copies: int = 1
    """Documents with this text that it stands for, itself included; they come after it in the order."""


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
    duplicate_in: str | None
    """The generation of the index that the survivor belongs to; None for one of this corpus."""
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
    if not len(small) or len(small) / len(large) < at_least:
        return 0.0
    common = int((large.take(large.searchsorted(small), mode="clip") == small).sum())
    return common / (len(small) + len(large) - common)


def decide(candidates: Iterable[Candidate], settings: DedupConfig) -> list[Decision]:
    """Decide about the documents of a cluster, given in the order of preference, indexed ones first.

    Returns one decision for each document that is not indexed. Memory: the keys and shingles of survivors,
    and the id of every document.
    """
    threshold = parameters(settings).threshold
    survivors = _Survivors()
    decided: list[tuple[Candidate, Reason | None, int, float | None]] = []
    for number, candidate in enumerate(candidates):
        reason, survivor, similarity = None, number, None
        if not candidate.generation:
            known = survivors.by_text.get(candidate.normalized_hash)
            if settings.exact and known:
                reason, (survivor, similarity) = Reason.EXACT_DUPLICATE, known
            elif settings.near and not settings.verify and decided and candidate.shingles:
                reason, survivor = Reason.NEAR_DUPLICATE, 0
            elif settings.near and settings.verify and (found := survivors.similar(candidate, threshold)):
                reason, (survivor, similarity) = Reason.NEAR_DUPLICATE, found
        if reason is None:
            survivors.add(candidate, number)
        of_text = similarity if reason == Reason.NEAR_DUPLICATE else 1.0
        survivors.by_text.setdefault(candidate.normalized_hash, (survivor, of_text))
        decided.append((candidate._replace(shingles=b"", keys=()), reason, survivor, similarity))
    return _decisions(decided)


def decide_copy(identifier: str, first: Decision) -> Decision:
    """Decide about a document by the decision about one before it in the cluster that has the same text.

    The result is that of :func:`decide` for both, with ``dedup.exact``.
    """
    of = first.duplicate_of or first.id
    similarity = first.similarity if first.reason else 1.0
    return first._replace(
        id=identifier, reason=Reason.EXACT_DUPLICATE, duplicate_of=of, similarity=similarity
    )


def _decisions(decided: Sequence[tuple[Candidate, Reason | None, int, float | None]]) -> list[Decision]:
    """Convert candidates with reason, position of the survivor and similarity to decisions."""
    if not decided:
        return []
    cluster = decided[0][0].cluster or decided[0][0].id
    sizes: Counter[int] = Counter()
    for candidate, _, survivor, _ in decided:
        sizes[survivor] += candidate.copies
    result = []
    for candidate, reason, survivor, similarity in decided:
        if not candidate.generation:
            stays = decided[survivor][0]
            of, within = (stays.id, stays.generation or None) if reason else (None, None)
            size = sizes[survivor]
            result.append(Decision(candidate.id, cluster, size, reason, of, within, similarity))
    return result


MAX_COMPARED = 16
"""Survivors that are compared one by one; of more, those that cannot be similar are excluded together."""


class _Survivors:
    """The survivors of a cluster so far, by text and by key. They are named by their position in it."""

    def __init__(self) -> None:
        self.by_text: dict[str, tuple[int, float | None]] = {}
        """For each text that was visited, the survivor and the similarity to it."""
        self._positions: list[int] = []
        self._shingles: list[Shingles] = []
        self._with_key: dict[int, list[int]] = defaultdict(list)
        self._bounds = _OverlapBounds()

    def add(self, candidate: Candidate, position: int) -> None:
        for key in candidate.keys:
            self._with_key[key].append(len(self._positions))
        self._positions.append(position)
        self._shingles.append(np.frombuffer(candidate.shingles, np.uint32))

    def similar(self, candidate: Candidate, threshold: float) -> tuple[int, float] | None:
        """Return the first survivor with a key in common that is similar enough, and how similar it is."""
        indices = sorted({index for key in candidate.keys for index in self._with_key.get(key, ())})
        shingles = np.frombuffer(candidate.shingles, np.uint32)
        if len(indices) > MAX_COMPARED:
            possible = self._bounds.may_reach(shingles, self._shingles, threshold)
            indices = [index for index in indices if possible[index]]
        for index in indices:
            if (similarity := jaccard(self._shingles[index], shingles, threshold)) >= threshold:
                return self._positions[index], similarity
        return None


class _OverlapBounds:
    """Upper bounds of the overlaps of a set of shingles with many others, by 16 bits of each shingle.

    One lookup a shingle, in a table of 64 KB: fifteen times as fast as exact comparisons.
    """

    def __init__(self) -> None:
        self._low = np.empty(0, np.uint16)
        self._ends = [0]

    def may_reach(
        self, shingles: Shingles, others: Sequence[Shingles], threshold: float
    ) -> NDArray[np.bool_]:
        """Return which of the others may have the similarity. They begin with those of earlier calls."""
        self._append(others[len(self._ends) - 1 :])
        present = np.zeros(1 << 16, np.uint8)
        present[shingles.astype(np.uint16)] = 1
        sums = np.zeros(self._ends[-1] + 1, np.int64)
        present.take(self._low[: self._ends[-1]]).cumsum(out=sums[1:])
        ends = np.array(self._ends)
        sizes = np.diff(ends)
        overlap = np.minimum(np.diff(sums[ends]), len(shingles))
        union = np.maximum(sizes + len(shingles) - overlap, 1)
        reaches: NDArray[np.bool_] = overlap / union >= threshold
        return reaches

    def _append(self, others: Sequence[Shingles]) -> None:
        if others:
            added = np.concatenate(others).astype(np.uint16)
            end = self._ends[-1] + len(added)
            if end > len(self._low):
                grown = np.empty(2 * end, np.uint16)
                grown[: self._ends[-1]] = self._low[: self._ends[-1]]
                self._low = grown
            self._low[self._ends[-1] : end] = added
            self._ends += (self._ends[-1] + np.cumsum([len(each) for each in others])).tolist()

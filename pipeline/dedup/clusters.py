"""Cluster documents by their keys and decide about them, in one process.

The counterpart of ``pipeline/spark/dedup/clusters.py`` for documents that fit into memory, by the same rules.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np

from core.config import DedupConfig
from pipeline.dedup.components import find_roots
from pipeline.dedup.exact import url_hash
from pipeline.dedup.minhash import joined_keys
from pipeline.dedup.parameters import parameters
from pipeline.dedup.survivors import Candidate, Decision, decide
from pipeline.ledger import Reason


class Document(NamedTuple):
    """A document, and what its preference over others depends on."""

    candidate: Candidate
    preference: Sequence[float]
    """See :func:`~pipeline.dedup.survivors.preference`."""
    url: str = ""
    fetched_at: datetime | None = None


def find_duplicates(documents: Mapping[str, Document], settings: DedupConfig) -> Iterator[Decision]:
    """Yield the decisions about all documents, given by id, that share a key or an address with another."""
    latest = superseded(documents) if settings.url else {}
    about: dict[str, Decision] = {}
    candidates = [each.candidate for id_, each in documents.items() if id_ not in latest]
    for members in _clusters(candidates, settings):
        members.sort(key=lambda member: (documents[member.id].preference, member.id))
        about |= {decision.id: decision for decision in decide(members, settings)}
    yield from about.values()
    for identifier, capture in latest.items():
        found = about.get(capture) or Decision(capture, capture, 1, None, None, None, None)
        survivor = found.duplicate_of or capture, found.duplicate_in
        yield Decision(identifier, found.cluster, found.cluster_size, Reason.URL_DUPLICATE, *survivor, None)


def superseded(documents: Mapping[str, Document]) -> dict[str, str]:
    """Return the captures that are not the latest of their canonical address, each with the one that is."""
    by_url: dict[str, list[str]] = defaultdict(list)
    for identifier, each in documents.items():
        if url := url_hash(each.url):
            by_url[url].append(identifier)
    latest: dict[str, str] = {}
    for identifiers in by_url.values():
        first, *others = sorted(identifiers, key=lambda each: _capture_order(documents[each], each))
        latest |= dict.fromkeys(others, first)
    return latest


def _capture_order(document: Document, identifier: str) -> tuple[float, str]:
    return (-document.fetched_at.timestamp() if document.fetched_at else float("inf"), identifier)


def _clusters(
    documents: Sequence[Candidate], settings: DedupConfig, joined: int = 1
) -> Iterator[list[Candidate]]:
    """Yield the connected components; ones that are too large are cut again by joined keys."""
    first: dict[int, int] = {}
    edges = [
        (number, first.setdefault(key, number))
        for number, each in enumerate(documents)
        for key in joined_keys(each.keys, joined)
    ]
    nodes, found = find_roots(*np.array(edges, np.int64).reshape(-1, 2).T)
    components: dict[int, list[Candidate]] = defaultdict(list)
    for number, root in zip(nodes.tolist(), found.tolist(), strict=True):
        components[root].append(documents[number])
    for members in components.values():
        if len(members) == 1:
            continue
        texts = {each.normalized_hash for each in members}
        if len(texts) > settings.max_cluster and 2 * joined <= parameters(settings).bands:
            yield from _clusters(members, settings, 2 * joined)
        else:
            yield members

"""Cluster documents by their keys and decide about them, in one process.

What Spark does for any number of documents (``pipeline/spark/dedup/clusters.py``), by the same rules.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

from core.config import DedupConfig
from pipeline.dedup.exact import url_hash
from pipeline.dedup.minhash import joined_keys
from pipeline.dedup.parameters import parameters
from pipeline.dedup.survivors import Candidate, Decision, decide
from pipeline.ledger import Reason

Node = TypeVar("Node", int, str)


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
        found = about.get(capture) or Decision(capture, capture, 1, None, None, None)
        survivor = found.duplicate_of or capture
        yield Decision(identifier, found.cluster, found.cluster_size, Reason.URL_DUPLICATE, survivor, None)


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
    first_with_key: dict[int, str] = {}
    edges = [
        (each.id, first_with_key.setdefault(key, each.id))
        for each in documents
        for key in joined_keys(each.keys, joined)
    ]
    by_id = {each.id: each for each in documents}
    components: dict[str, list[Candidate]] = defaultdict(list)
    for identifier, root in roots(edge for edge in edges if edge[0] != edge[1]).items():
        components[root].append(by_id[identifier])
    for members in components.values():
        if len(members) > settings.max_cluster and 2 * joined <= parameters(settings).bands:
            yield from _clusters(members, settings, 2 * joined)
        else:
            yield members


def roots(edges: Iterable[tuple[Node, Node]]) -> dict[Node, Node]:
    """Return the root of every node by union-find (Tarjan 1975), with the least node of each set as root."""
    parent: dict[Node, Node] = {}

    def root(node: Node) -> Node:
        while (above := parent.setdefault(node, node)) != node:
            parent[node] = node = parent[above]
        return node

    for u, v in edges:
        low, high = sorted((root(u), root(v)))
        parent[high] = low
    return {node: root(node) for node in list(parent)}

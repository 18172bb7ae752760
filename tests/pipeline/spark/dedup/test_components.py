import random

import pytest

from pipeline.spark.dedup import components
from pipeline.spark.dedup.components import connected_components


def _union_find(edges):
    parent = {}

    def root(node):
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for u, v in edges:
        low, high = sorted((root(u), root(v)))
        parent[high] = low
    return {node: root(node) for node in parent}


def _random_graph(seed):
    source = random.Random(seed)
    return [(source.randrange(120), source.randrange(120)) for _ in range(80)]


GRAPHS = [
    [(3, 3)],
    [(1, 2), (2, 1)],
    [(i, i + 1) for i in range(50)],  # a long chain
    [((i * 17) % 41, ((i + 1) * 17) % 41) for i in range(40)],  # a chain with shuffled ids
    [(1000, i) for i in range(300)],  # a star whose centre is the greatest node
    [(i, j) for k in (0, 20) for i in range(k, k + 9) for j in range(k, i)] + [(8, 20)],  # a bridge
    *(_random_graph(seed) for seed in range(5)),
]


@pytest.mark.spark
@pytest.mark.parametrize("few", [0, components.MAX_LOCAL_EDGES], ids=["in rounds", "in the driver"])
def test_components_equal_union_find(spark, tmp_path, few, monkeypatch):
    """All graphs at once, with disjoint ids."""
    monkeypatch.setattr(components, "MAX_LOCAL_EDGES", few)
    edges = [(10_000 * k + u, 10_000 * k + v) for k, graph in enumerate(GRAPHS) for u, v in graph]
    frame = spark.createDataFrame(edges, "u int, v int")
    found = connected_components(spark, frame, str(tmp_path / "rounds")).collect()
    assert len(found) == len({row["node"] for row in found})
    assert {row["node"]: row["root"] for row in found} == _union_find((u, v) for u, v in edges if u != v)


@pytest.mark.spark
@pytest.mark.parametrize("few", [-1, components.MAX_LOCAL_EDGES], ids=["in rounds", "in the driver"])
def test_no_edges_no_components(spark, tmp_path, few, monkeypatch):
    monkeypatch.setattr(components, "MAX_LOCAL_EDGES", few)
    frame = spark.createDataFrame([], "u int, v int")
    assert connected_components(spark, frame, str(tmp_path / "rounds")).collect() == []

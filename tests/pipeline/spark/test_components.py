import random

import pytest

from pipeline.spark.components import connected_components


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


GRAPHS = {
    "nothing": [],
    "a loop only": [(3, 3)],
    "a pair, named twice": [(1, 2), (2, 1)],
    "a long chain": [(i, i + 1) for i in range(200)],
    "a chain whose ids are shuffled": [((i * 37) % 101, ((i + 1) * 37) % 101) for i in range(100)],
    "a star with the root in the leaves": [(1000, i) for i in range(300)],
    "two cliques and a bridge": [(i, j) for k in (0, 20) for i in range(k, k + 9) for j in range(k, i)] + [(8, 20)],
    **{f"random {seed}": _random_graph(seed) for seed in range(3)},
}


@pytest.mark.spark
@pytest.mark.parametrize("name", GRAPHS)
def test_components_equal_union_find(spark, tmp_path, name):
    edges = spark.createDataFrame(GRAPHS[name] or [(0, 0)], "u int, v int")
    found = connected_components(spark, edges, str(tmp_path / "rounds")).collect()
    assert len(found) == len({row["node"] for row in found})
    proper = [(u, v) for u, v in GRAPHS[name] if u != v]
    assert {row["node"]: row["root"] for row in found} == _union_find(proper)

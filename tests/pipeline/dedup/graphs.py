"""Graphs that are adversarial for connected components, as lists of edges between integers."""

import random
from collections.abc import Iterable
from itertools import combinations, pairwise

Edges = list[tuple[int, int]]


def _shuffled(length: int) -> list[int]:
    return random.Random(1).sample(range(length), length)


GRAPHS: dict[str, Edges] = {
    "loop": [(3, 3)],
    "edge in both directions": [(1, 2), (2, 1)],
    "parallel edges": [(5, 4)] * 3,
    "path": list(pairwise(range(1_000))),
    "path with random labels": list(pairwise(_shuffled(1_000))),
    "path whose labels alternate": list(pairwise(x for i in range(200) for x in (i, 1_000 - i))),
    "star around the least": [(0, i) for i in range(1, 2_000)],
    "star around the greatest": [(5_000, i) for i in range(2_000)],
    "two cliques and a bridge": [*combinations(range(30), 2), *combinations(range(30, 60), 2), (29, 30)],
    "binary tree": [(i, i // 2) for i in range(2, 1_000)],
    "comb": [*pairwise(range(0, 500, 2)), *((i, i + 1) for i in range(0, 500, 2))],
    "grid": [*((i, i + 1) for i in range(400) if i % 20 != 19), *((i, i + 20) for i in range(380))],
}


def least_nodes(components: Iterable[set[int]]) -> dict[int, int]:
    """Return the least node of the component of every node."""
    return {node: min(each) for each in components for node in each}

"""Connected components of a graph that fits into memory."""

import numpy as np
from numpy.typing import NDArray

Nodes = NDArray[np.int64]


def find_roots(u: Nodes, v: Nodes) -> tuple[Nodes, Nodes]:
    """Return the distinct nodes of the edges ``u[i]``, ``v[i]`` in order, and the least of each's component.

    The roots of trees are hooked to smaller ones that an edge connects them with, then all trees are
    flattened (after Shiloach and Vishkin, "An O(log n) Parallel Connectivity Algorithm", 1982). In two rounds
    every root that has an edge to another tree is hooked or gains a tree, so that O(log n) rounds suffice.
    """
    nodes, numbers = np.unique(np.concatenate([u, v]), return_inverse=True)
    parent = np.arange(len(nodes))
    low, high = numbers[: len(u)], numbers[len(u) :]
    while len(low):
        np.minimum.at(parent, np.maximum(low, high), np.minimum(low, high))
        while ((above := parent[parent]) != parent).any():
            parent = above
        low, high = parent[low], parent[high]
        apart = low != high
        low, high = low[apart], high[apart]
    return nodes, nodes[parent]

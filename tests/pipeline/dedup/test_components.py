from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dedup.components import find_roots
from tests.pipeline.dedup.graphs import GRAPHS, least_nodes

LONG = np.iinfo(np.int64)


def _found(edges):
    u, v = np.array(list(edges), np.int64).reshape(-1, 2).T
    nodes, roots = find_roots(u, v)
    assert nodes.dtype == roots.dtype == np.int64
    assert (nodes[1:] > nodes[:-1]).all()
    return dict(zip(nodes.tolist(), roots.tolist(), strict=True))


def _expected(edges):
    return least_nodes(nx.connected_components(nx.Graph(edges)))


@pytest.mark.parametrize("graph", GRAPHS)
def test_roots_of_known_graphs(graph):
    assert _found(GRAPHS[graph]) == _expected(GRAPHS[graph])


NODES = st.integers(0, 30) | st.integers(LONG.min, LONG.max)


@given(st.lists(st.tuples(NODES, NODES)))
def test_roots_are_those_of_networkx(edges):
    assert _found(edges) == _expected(edges)


@given(st.integers(2, 200), st.randoms(use_true_random=False))
def test_roots_of_paths_with_any_labels(length, random):
    labels = random.sample(range(10 * length), length)
    assert set(_found(pairwise(labels)).values()) == {min(labels)}

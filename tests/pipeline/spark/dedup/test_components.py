import re

import networkx as nx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.spark.dedup import components
from pipeline.spark.dedup.components import connected_components
from tests.pipeline.dedup.graphs import GRAPHS, least_nodes

IN_ROUNDS, IN_DRIVER = -1, components.MAX_LOCAL_EDGES
"""Largest graph that is resolved in the driver."""


def _found(spark, edges, folder):
    """Return the root of each node, and check that each has one."""
    frame = spark.createDataFrame(edges, "u long, v long")
    rows = connected_components(spark, frame, str(folder)).collect()
    found = {row["node"]: row["root"] for row in rows}
    assert len(found) == len(rows)
    return found


def _expected(edges):
    return least_nodes(nx.connected_components(nx.Graph([(u, v) for u, v in edges if u != v])))


@pytest.mark.spark
@pytest.mark.parametrize("most", [IN_ROUNDS, 9_000, IN_DRIVER], ids=["in rounds", "both", "in the driver"])
def test_components_equal_networkx(spark, tmp_path, most, monkeypatch, capsys):
    """All graphs at once, with disjoint labels. Label propagation would need 999 rounds, for the paths."""
    monkeypatch.setattr(components, "MAX_LOCAL_EDGES", most)
    edges = [(10_000 * k + u, 10_000 * k + v) for k, graph in enumerate(GRAPHS.values()) for u, v in graph]
    assert _found(spark, edges, tmp_path / "rounds") == _expected(edges)
    output = capsys.readouterr().out
    rounds = int(re.findall(r"edges, (\d+) rounds", output)[0])
    assert rounds == 0 if most == IN_DRIVER else 0 < rounds <= 12
    assert output.endswith("then in the driver\n") == (most != IN_ROUNDS)


@pytest.mark.spark
@pytest.mark.parametrize("most", [IN_ROUNDS, IN_DRIVER], ids=["in rounds", "in the driver"])
def test_no_edges_no_components(spark, tmp_path, most, monkeypatch):
    monkeypatch.setattr(components, "MAX_LOCAL_EDGES", most)
    assert _found(spark, [], tmp_path / "rounds") == {}
    assert _found(spark, [(7, 7)], tmp_path / "loop") == {}


NODES = st.integers(0, 20) | st.integers(-(1 << 63), (1 << 63) - 1)


@pytest.mark.spark
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(NODES, NODES), min_size=1, max_size=60))
def test_random_graphs_equal_networkx(spark, tmp_path, edges):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(components, "MAX_LOCAL_EDGES", IN_ROUNDS)
        assert _found(spark, edges, tmp_path / "rounds") == _expected(edges)

from itertools import chain

import networkx as nx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from pipeline.spark.dedup.parts import STARRED, read_stars

KEYS = st.lists(st.lists(st.integers(0, 6), max_size=4), min_size=1, max_size=30)


def _stars(tmp_path, keys):
    path = tmp_path / "part-0.parquet"
    count = len(keys)
    columns = {
        "reason": pa.nulls(count),
        "error": pa.nulls(count),
        "keys": pa.array(keys, pa.list_(pa.int64())),
    }
    pq.write_table(pa.table(columns), path)
    part = {"path": str(path), "number": 0, "rows": None, "excluded": True}
    (batch,) = read_stars(iter([pa.RecordBatch.from_pylist([part])]))
    assert batch.schema == STARRED
    return batch.to_pylist()


@given(KEYS)
def test_each_key_is_there_once_and_its_documents_stay_connected(tmp_path_factory, keys):
    rows = _stars(tmp_path_factory.mktemp("parts"), keys)
    first = {row["key"]: row["node"] for row in rows if row["first"] is None}
    assert len(first) == sum(row["first"] is None for row in rows)
    assert first == {key: min(n for n, own in enumerate(keys) if key in own) for key in set(chain(*keys))}
    edges = [(row["node"], row["first"]) for row in rows if row["first"] is not None]
    assert all(node > to for node, to in edges)
    assert len(edges) == len(set(edges))
    graph = nx.Graph(edges)
    expected = nx.Graph((n, first[key]) for n, own in enumerate(keys) for key in own if n != first[key])
    assert set(map(frozenset, nx.connected_components(graph))) == set(
        map(frozenset, nx.connected_components(expected))
    )


def test_a_key_of_all_documents_is_one_row(tmp_path):
    rows = _stars(tmp_path, [[7, number + 100] for number in range(1000)])
    assert sum(row["key"] == 7 and row["first"] is None for row in rows) == 1
    assert np.array([row["first"] for row in rows if row["first"] is not None]).tolist() == [0] * 999

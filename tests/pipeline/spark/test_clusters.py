import pytest

from core.config import DedupConfig
from pipeline.spark import clusters, record_processing, tables

# id, words, text hash, keys. a, b, c: a cluster, a and c with equal texts; d, e: near duplicates; f: unique.
ROWS = [
    ("aa", 10, "11", [1, 100]),
    ("bb", 12, "22", [2, 100]),
    ("cc", 10, "11", [1, 100]),
    ("dd", 5, "33", [3, 200, 201]),
    ("ee", 5, "44", [4, 200, 201]),
    ("ff", 7, "55", [5, 300]),
    ("99", None, None, [1, 100]),  # dropped by a filter
]


@pytest.fixture(scope="module")
def records(spark, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("records"))
    rows = [
        {"id": i, "words": w, "text_hash": h, "keys": k, "reason": None if w else "gopher.few_words"}
        for i, w, h, k in ROWS
    ]
    schema = tables.from_arrow_schema(record_processing.schema())
    full = [{name: row.get(name) for name in schema.names} for row in rows]
    tables.write(spark.createDataFrame(full, schema).repartition(3), folder)
    return tables.read(spark, folder, record_processing.schema())


def _found(spark, records, tmp_path, **switches):
    table = clusters.find_clusters(spark, records, DedupConfig(**switches), str(tmp_path / "rounds"))
    assert table.columns == clusters.schema().names
    rows = table.collect()
    assert all(row["part"].endswith(".parquet") for row in rows)
    columns = ("cluster", "cluster_size", "reason", "duplicate_of")
    return {row["id"]: tuple(row[column] for column in columns) for row in rows}


@pytest.mark.spark
def test_longest_document_survives(spark, records, tmp_path):
    assert _found(spark, records, tmp_path) == {
        "aa": ("bb", 3, "dedup.near", "bb"),
        "bb": ("bb", 3, None, None),
        "cc": ("bb", 3, "dedup.exact", "bb"),
        "dd": ("dd", 2, None, None),
        "ee": ("dd", 2, "dedup.near", "dd"),
    }


@pytest.mark.spark
def test_switches_decide_who_is_dropped_but_not_the_clusters(spark, records, tmp_path):
    exact_only = _found(spark, records, tmp_path / "exact", near=False)
    assert {i: f[2:] for i, f in exact_only.items() if f[2]} == {"cc": ("dedup.exact", "aa")}
    near_only = _found(spark, records, tmp_path / "near", exact=False)
    assert {i: f[2:] for i, f in near_only.items() if f[2]} == {
        "aa": ("dedup.near", "bb"),
        "cc": ("dedup.near", "bb"),
        "ee": ("dedup.near", "dd"),
    }
    neither = _found(spark, records, tmp_path / "neither", exact=False, near=False)
    assert all(found[2] is None for found in neither.values())
    assert {i: f[:2] for i, f in neither.items()} == {i: f[:2] for i, f in exact_only.items()}

"""Spark decides as one process does, however the records are partitioned."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.config import DedupConfig
from pipeline.dedup.clusters import Document, find_duplicates
from pipeline.dedup.survivors import Candidate, preference
from pipeline.ledger import copies_schema
from pipeline.spark import record_processing, tables
from pipeline.spark.dedup import clusters

pytestmark = pytest.mark.spark

BANDS = {"bands": 4, "rows": 1}
RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "world": st.integers(0, 3),
            "text": st.sampled_from("abcdef"),
            "bands": st.lists(st.integers(0, 3), min_size=4, max_size=4),
            "shingles": st.sets(st.integers(0, 6), min_size=1),
            "words": st.integers(1, 3),
            "url": st.sampled_from(["", "", "http://a.org/", "http://b.org/x"]),
            "year": st.sampled_from([None, 2001, 2002]),
            "dropped": st.sampled_from([None, None, None, "gopher.few_words"]),
        }
    ),
    max_size=50,
)
"""Records of several worlds, between which no key is equal: many small corpora for the cost of one."""
SETTINGS = st.builds(
    DedupConfig,
    exact=st.booleans(),
    near=st.booleans(),
    url=st.booleans(),
    verify=st.booleans(),
    threshold=st.sampled_from([0.3, 0.8]),
    max_cluster=st.sampled_from([2, 3, 100]),
    keep=st.sampled_from([("longest",), ("newest",), ("oldest", "longest")]),
    bands=st.just(4),
    rows=st.just(1),
)


def rows_of(drawn):
    """Return rows of the table of records. Equal texts have equal signatures, as they do in reality."""
    first_with_text = {}
    rows = []
    for number, record in enumerate(drawn):
        world = record["world"]
        text = 100 * world + ord(record["text"])
        signature = first_with_text.setdefault(text, record)
        bands = [100 * world + 4 * band + key for band, key in enumerate(signature["bands"])]
        rows.append(
            {
                "id": f"{number * 37 % 64:032x}",
                "source": "web",
                "url": record["url"] and f"{record['url']}{world}",
                "fetched_at": record["year"] and datetime(record["year"], 1, 1, tzinfo=UTC),
                "words": signature["words"],
                "normalized_hash": f"{text:032x}",
                "keys": [1000 + text, *bands],
                "shingles": np.array(sorted(signature["shingles"]), np.uint32).tobytes(),
                "reason": record["dropped"],
            }
        )
    return rows


def write(spark, rows, folder, partitions):
    schema = tables.from_arrow_schema(record_processing.schema())
    full = [{name: row.get(name) for name in schema.names} for row in rows]
    tables.write(spark.createDataFrame(full, schema).repartition(partitions), folder)
    return folder


def by_spark(spark, folder, dedup, work):
    table, cut = clusters.find_clusters(spark, folder, dedup, work)
    assert cut.columns == clusters.cut_schema().names
    assert table.columns == copies_schema().names
    rows = table.collect()
    assert all(row["part"].endswith(".parquet") for row in rows)
    return {row["id"]: tuple(row)[2:] for row in rows}


def in_one_process(rows, dedup):
    documents = {
        row["id"]: Document(
            Candidate(row["id"], row["normalized_hash"], row["keys"], row["shingles"]),
            preference(dedup, words=row["words"], fetched_at=row["fetched_at"], quality=None, source="web"),
            row["url"],
            row["fetched_at"],
        )
        for row in rows
        if not row["reason"]
    }
    return {each.id: tuple(each)[1:] for each in find_duplicates(documents, dedup)}


@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RECORDS, SETTINGS, st.integers(1, 4))
def test_spark_decides_as_one_process_does(spark, tmp_path_factory, drawn, dedup, partitions):
    rows, folder = rows_of(drawn), tmp_path_factory.mktemp("clusters")
    records = write(spark, rows, str(folder / "records"), partitions)
    assert by_spark(spark, records, dedup, str(folder / "work")) == in_one_process(rows, dedup)


def _row(identifier, words, text, bands, shingles):
    return {
        "id": identifier,
        "words": words,
        "normalized_hash": text,
        "keys": [int(text), *bands],
        "shingles": np.array(sorted(shingles), np.uint32).tobytes(),
        "source": "web",
        "reason": None,
    }


def test_unlike_members_of_a_cluster_survive(spark, tmp_path):
    """b resembles a, c has the text of a, d shares a band with them by chance."""
    rows = [
        _row("aa", 10, "11", [1, 2, 3, 4], range(10)),
        _row("bb", 12, "22", [1, 2, 9, 9], range(1, 11)),
        _row("cc", 10, "11", [1, 2, 3, 4], range(10)),
        _row("dd", 5, "33", [1, 7, 7, 7], range(20, 30)),
        _row("ff", 7, "55", [5, 5, 5, 5], range(5)),
    ]
    records = write(spark, rows, str(tmp_path / "records"), 2)
    found = by_spark(spark, records, DedupConfig(**BANDS, threshold=0.7), str(tmp_path / "work"))
    assert found == {
        "aa": ("bb", 3, "dedup.near", "bb", None, 9 / 11),
        "bb": ("bb", 3, None, None, None, None),
        "cc": ("bb", 3, "dedup.exact", "bb", None, 9 / 11),
        "dd": ("bb", 1, None, None, None, None),
    }


def test_copies_of_one_text_do_not_make_a_cluster_large(spark, tmp_path):
    """Eight equal texts and a similar one, with one of four bands in common, are two texts."""
    rows = [_row(f"a{number}", 10, "11", [1, 2, 3, 4], range(50)) for number in range(8)]
    rows.append(_row("b0", 9, "22", [1, 7, 8, 9], range(1, 50)))
    records = write(spark, rows, str(tmp_path / "records"), 2)
    dedup = DedupConfig(**BANDS, threshold=0.5, max_cluster=2)
    found = by_spark(spark, records, dedup, str(tmp_path / "work"))
    assert [identifier for identifier, decision in found.items() if not decision[2]] == ["a0"]


def test_large_cluster_is_cut_by_joined_bands_and_reported(spark, tmp_path):
    """Two groups of three, whose members agree in all bands, are connected by one band."""
    rows = [
        _row(
            f"{group}{number}",
            10,
            str(100 + 10 * group + number),
            [9, *[group] * 3],
            range(group, group + 50),
        )
        for group in (1, 2)
        for number in range(3)
    ]
    records = write(spark, rows, str(tmp_path / "records"), 3)
    work = str(tmp_path / "work")
    dedup = DedupConfig(**BANDS, threshold=0.5, max_cluster=4)
    found = by_spark(spark, records, dedup, work)
    assert {identifier: decision[3] for identifier, decision in found.items()} == {
        "10": None, "11": "10", "12": "10", "20": None, "21": "20", "22": "20",
    }  # fmt: skip
    _, cut = clusters.find_clusters(spark, records, dedup, work)
    (row,) = cut.collect()
    assert tuple(row)[:4] == (6, 2, 2, 3)
    assert [identifier[0] for identifier in row["sample"]] == ["1", "2"]

"""Find duplicate clusters by the keys of the one pass, and decide about their members.

1. Documents are connected if they share a key: the hash of their exact text, or one MinHash band.
2. Connected components are the clusters (``components.py``).
3. The best member and the first copy of each text are found by window functions, and
   :mod:`pipeline.dedup.survivors` decides who is dropped.

Only ids and 64-bit keys shuffle. The switches in ``[dedup]`` decide who is dropped, but do not change the
clusters, because the validation split is decided by cluster.
"""

from collections.abc import Iterable, Iterator
from functools import partial

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from core.config import DedupConfig
from pipeline.dedup.survivors import decide, preference
from pipeline.spark.components import connected_components


def schema() -> pa.Schema:
    """Columns of the table of copies: one row per document in a cluster of two or more.

    ``part``: name of the one pass's file that holds the document. ``cluster``: id of the cluster's best
    document. ``reason`` and ``duplicate_of`` are null for survivors.
    """
    return pa.schema(
        [
            ("part", pa.string()),
            ("id", pa.string()),
            ("cluster", pa.string()),
            ("cluster_size", pa.int64()),
            ("reason", pa.string()),
            ("duplicate_of", pa.string()),
        ]
    )


def find_clusters(spark: SparkSession, records: DataFrame, settings: DedupConfig, work: str) -> DataFrame:
    """Cluster the records that no filter dropped, and decide about them: rows of :func:`schema`.

    ``work``: folder for intermediate rounds, which the caller removes.
    """
    nodes = records.where("reason IS NULL AND error IS NULL").select(
        F.unhex("id").alias("node"),
        "words",
        F.unhex("text_hash").alias("text_hash"),
        "keys",
        F.element_at(F.split(F.input_file_name(), "/"), -1).alias("part"),
    )
    members = connected_components(spark, _edges(nodes), work).join(nodes.drop("keys"), "node")
    decided = partial(_decide_batches, settings=settings)
    return _with_survivors(members).mapInArrow(decided, from_arrow_schema(schema()))


def _edges(nodes: DataFrame) -> DataFrame:
    """Connect every document with the least document of each of its keys: linear in the number of keys."""
    keyed = nodes.select("node", F.explode("keys").alias("key"))
    shared = keyed.groupBy("key").agg(F.min("node").alias("center"), F.count("*").alias("n")).where("n > 1")
    joined = keyed.join(shared, "key").where("node != center")
    return joined.select(F.col("node").alias("u"), F.col("center").alias("v")).distinct()


def _with_survivors(members: DataFrame) -> DataFrame:
    """Add each member's cluster (its best document), the cluster's size, and the first copy of its text."""
    in_cluster = Window.partitionBy("root")
    with_same_text = Window.partitionBy("root", "text_hash")
    best = F.min_by("node", F.struct(*preference(F.col("words"), F.col("node"))))
    return members.select(
        "part",
        _hex(F.col("node")).alias("id"),
        _hex(best.over(in_cluster)).alias("cluster"),
        F.count("*").over(in_cluster).alias("cluster_size"),
        _hex(F.min("node").over(with_same_text)).alias("first_copy"),
    )


def _decide_batches(batches: Iterable[pa.RecordBatch], settings: DedupConfig) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        columns = (batch.column(name).to_pylist() for name in ("id", "cluster", "first_copy"))
        decisions = [
            decide(identifier, best, first_copy, settings)
            for identifier, best, first_copy in zip(*columns, strict=True)
        ]
        reasons = [decision.reason.value if decision else None for decision in decisions]
        survivors = [decision.duplicate_of if decision else None for decision in decisions]
        decided = [pa.array(reasons, pa.string()), pa.array(survivors, pa.string())]
        kept = batch.drop_columns(["first_copy"]).columns
        yield pa.RecordBatch.from_arrays([*kept, *decided], schema=schema())


def _hex(column: Column) -> Column:
    return F.lower(F.hex(column))

"""Duplicate clusters from the keys of the one pass, and what becomes of each member.

Two documents are connected if they share a key: the hash of the exact text, or one MinHash band. Only ids and
64-bit keys shuffle. Clusters are found whatever ``[dedup]`` says, because the validation split goes by
them; the switches decide who is dropped.
"""

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from core.config import DedupConfig
from pipeline.ledger import Reason
from pipeline.spark.components import connected_components


def schema() -> pa.Schema:
    """One row per document that has a copy. ``part`` is the file of the one pass that holds it.

    ``cluster`` is the id of the cluster's best document: of most words, then of least id. ``reason`` and
    ``duplicate_of`` are null for documents that stay.
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


def find_clusters(spark: SparkSession, analysed: DataFrame, settings: DedupConfig, work: str) -> DataFrame:
    """Clusters of the rows that no filter dropped. ``work``: a folder for intermediate rounds."""
    nodes = analysed.where("reason IS NULL AND error IS NULL").select(
        F.unhex("id").alias("node"),
        "words",
        F.unhex("text_hash").alias("text_hash"),
        "keys",
        F.element_at(F.split(F.input_file_name(), "/"), -1).alias("part"),
    )
    members = connected_components(spark, _edges(nodes), work)
    return _decide(members.join(nodes.drop("keys"), "node"), settings)


def _edges(nodes: DataFrame) -> DataFrame:
    """Every document beside the least document of each of its keys: as many as documents, for any key."""
    keyed = nodes.select("node", F.explode("keys").alias("key"))
    shared = keyed.groupBy("key").agg(F.min("node").alias("center"), F.count("*").alias("n")).where("n > 1")
    joined = keyed.join(shared, "key").where("node != center")
    return joined.select(F.col("node").alias("u"), F.col("center").alias("v")).distinct()


def _decide(members: DataFrame, settings: DedupConfig) -> DataFrame:
    in_cluster = Window.partitionBy("root")
    in_text = Window.partitionBy("root", "text_hash")
    best = F.min_by("node", F.struct(-F.col("words"), F.col("node")))
    placed = members.select(
        "part",
        "node",
        best.over(in_cluster).alias("best"),
        F.count("*").over(in_cluster).alias("cluster_size"),
        F.min("node").over(in_text).alias("first_copy"),
    )
    copied = (F.col("node") != F.col("first_copy")) & F.lit(settings.exact)
    near = (F.col("node") != F.col("best")) & F.lit(settings.near)
    stays_instead = F.when(near, F.col("best")).when(copied, F.col("first_copy"))
    return placed.select(
        "part",
        _hex("node").alias("id"),
        _hex("best").alias("cluster"),
        "cluster_size",
        F.when(copied, Reason.EXACT_DUPLICATE.value).when(near, Reason.NEAR_DUPLICATE.value).alias("reason"),
        F.lower(F.hex(stays_instead)).alias("duplicate_of"),
    )


def _hex(column: str) -> Column:
    return F.lower(F.hex(column))

"""Connected components by alternating large-star and small-star, on DataFrames.

Kiveris, Lattanzi, Mirrokni, Rastogi, Vassilvitskii, "Connected Components in MapReduce and Beyond", 2014.
Each round is two shuffles of node pairs; O(log² n) rounds proven, O(log n) seen. No node's neighbours are
ever gathered in one row, so a cluster of any size fits. Few edges are not worth a round: union-find in the
driver takes a moment for them.
"""

from collections.abc import Iterable
from itertools import count
from typing import TypeVar

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from core import storage

T = TypeVar("T", int, str)

MAX_LOCAL_EDGES = 1 << 18
"""At most so many are resolved in the driver: half a second's work and some ten megabytes."""


def connected_components(spark: SparkSession, edges: DataFrame, work: str) -> DataFrame:
    """Columns ``node``, ``root`` for every node of ``edges`` (columns ``u``, ``v``, any orderable type).

    The root is the least node of its component. Each round is kept in the folder ``work`` until the next is
    written, so that a lost executor costs a round at most; the caller removes the folder.
    """
    canonical = edges.select(F.greatest("u", "v").alias("u"), F.least("u", "v").alias("v"))
    current = _settle(spark, canonical.where("u != v").distinct(), f"{work}/round-0")
    state = _state(current)
    if state[0] <= MAX_LOCAL_EDGES:
        return spark.createDataFrame(resolve(current.toArrow()))
    for number in count(1):
        current = _settle(spark, _small_star(_large_star(current)), f"{work}/round-{number}")
        previous, state = state, _state(current)
        if state == previous:
            break
        storage.remove(f"{work}/round-{number - 1}")
    stars = current.select(F.col("u").alias("node"), F.col("v").alias("root"))
    roots = stars.select(F.col("root").alias("node"), "root").distinct()
    return stars.unionByName(roots)


def resolve(edges: pa.Table) -> pa.Table:
    """The same in this process."""
    found = roots(zip(edges["u"].to_pylist(), edges["v"].to_pylist(), strict=True))
    kind = edges.schema.field("u").type
    return pa.table({"node": pa.array(list(found), kind), "root": pa.array(list(found.values()), kind)})


def roots(edges: Iterable[tuple[T, T]]) -> dict[T, T]:
    """The root of every node, by union-find (Tarjan 1975) with the least node as root."""
    parent: dict[T, T] = {}

    def root(node: T) -> T:
        while (above := parent.setdefault(node, node)) != node:
            parent[node] = node = parent[above]
        return node

    for u, v in edges:
        one, other = sorted((root(u), root(v)))
        parent[other] = one
    return {node: root(node) for node in list(parent)}


def _large_star(edges: DataFrame) -> DataFrame:
    """Connect every node's larger neighbours to the least node of its neighbourhood."""
    both = edges.unionByName(edges.select(F.col("v").alias("u"), F.col("u").alias("v")))
    least = F.least("u", _least_neighbour())
    return both.select("u", "v", least.alias("least")).where("v > u").select(*_pair("v", "least"))


def _small_star(edges: DataFrame) -> DataFrame:
    """Connect every node and its smaller neighbours to the least of them."""
    seen = edges.select("u", "v", _least_neighbour().alias("least"))
    neighbours = seen.where("v != least").select(*_pair("v", "least"))
    return neighbours.unionByName(seen.select(*_pair("u", "least"))).distinct()


def _least_neighbour() -> Column:
    return F.min("v").over(Window.partitionBy("u"))


def _pair(u: str, v: str) -> tuple[Column, Column]:
    return F.col(u).alias("u"), F.col(v).alias("v")


def _settle(spark: SparkSession, edges: DataFrame, folder: str) -> DataFrame:
    """Write and read back: cuts the plan, and survives the loss of an executor."""
    path = storage.spark_path(folder)
    edges.write.mode("overwrite").parquet(path)
    return spark.read.schema(edges.schema).parquet(path)


def _state(edges: DataFrame) -> tuple[int, int]:
    """Number and order-free hash of the edges."""
    row = edges.agg(F.count("*"), F.coalesce(F.bit_xor(F.xxhash64("u", "v")), F.lit(0))).first()
    return (row[0], row[1]) if row else (0, 0)

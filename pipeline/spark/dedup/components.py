"""Connected components of a graph by alternating large-star and small-star, on DataFrames.

Kiveris, Lattanzi, Mirrokni, Rastogi, Vassilvitskii, "Connected Components in MapReduce and Beyond", 2014.
Each round is two shuffles of node pairs; O(log² n) rounds are proven, O(log n) observed. A node's neighbours
are never collected in one row, so that clusters may have any size. Once few edges are left, they are resolved
in the driver, by array operations.
"""

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from core import storage
from pipeline.dedup.components import find_roots
from pipeline.spark import tables

MAX_LOCAL_EDGES = 1 << 20
"""Largest graph resolved in the driver: a quarter of a second and 100 MB."""


def connected_components(spark: SparkSession, edges: DataFrame, work: str) -> DataFrame:
    """Return columns ``node`` and ``root`` for every node of ``edges`` (``u``, ``v``, of type long).

    The root is the least node of its component. Each round is kept in the folder ``work`` until the next is
    written, so that a lost executor costs at most one round; the caller removes the folder. Prints the number
    of distinct edges and of rounds.
    """
    ordered = edges.select(F.greatest("u", "v").alias("u"), F.least("u", "v").alias("v"))
    current = tables.checkpoint(spark, ordered.where("u != v").distinct(), f"{work}/round-0")
    rounds, previous, summary = 0, None, _summary(current)
    number = summary[0]
    while summary != previous and summary[0] > MAX_LOCAL_EDGES:
        rounds += 1
        least = tables.checkpoint(spark, _least_neighbours(current), f"{work}/least-{rounds}")
        stars = _small_star(_large_star(current, least))
        current = tables.checkpoint(spark, stars, f"{work}/round-{rounds}")
        previous, summary = summary, _summary(current)
        storage.remove(f"{work}/round-{rounds - 1}")
        storage.remove(f"{work}/least-{rounds}")
    few = summary[0] <= MAX_LOCAL_EDGES
    print(
        f"connected components: {number:,} edges, {rounds} rounds{', then in the driver' * few}", flush=True
    )
    if few:
        return spark.createDataFrame(_resolve_locally(current.toArrow()))
    stars = current.select(F.col("u").alias("node"), F.col("v").alias("root"))
    roots = stars.select(F.col("root").alias("node"), "root").distinct()
    return stars.unionByName(roots)


def _resolve_locally(edges: pa.Table) -> pa.Table:
    """Compute the result of :func:`connected_components` in this process."""
    nodes, roots = find_roots(edges["u"].to_numpy(), edges["v"].to_numpy())
    return pa.table({"node": nodes, "root": roots})


def _least_neighbours(edges: DataFrame) -> DataFrame:
    """Return the least neighbour of every node that has a smaller one. Edges lead to the smaller node."""
    return edges.groupBy(F.col("u").alias("v")).agg(F.min("v").alias("least"))


def _large_star(edges: DataFrame, least: DataFrame) -> DataFrame:
    """Connect every node's larger neighbours to the least node of its neighbourhood.

    That replaces the target of an edge by the target's least neighbour, if it has a smaller one. The edges of
    the centre of a giant star meet in a join of two tables, which adaptive execution divides among tasks; it
    does not divide windows, nor joins with an aggregation.
    """
    return edges.join(least, "v", "left").select(*_edge("u", F.coalesce("least", "v")))


def _small_star(edges: DataFrame) -> DataFrame:
    """Connect every node and its smaller neighbours to the least of them."""
    with_least = edges.select("u", "v", F.min("v").over(Window.partitionBy("u")).alias("least"))
    neighbours = with_least.where("v != least").select(*_edge("v", "least"))
    return neighbours.unionByName(with_least.select(*_edge("u", "least"))).distinct()


def _edge(u: Column | str, v: Column | str) -> tuple[Column, Column]:
    """Name the ends of an edge."""
    ends = [F.col(end) if isinstance(end, str) else end for end in (u, v)]
    return ends[0].alias("u"), ends[1].alias("v")


def _summary(edges: DataFrame) -> tuple[int, int]:
    """Number of edges and their hash, independent of order: equal if a round changed nothing."""
    row = edges.agg(F.count("*"), F.coalesce(F.bit_xor(F.xxhash64("u", "v")), F.lit(0))).first()
    return (row[0], row[1]) if row else (0, 0)

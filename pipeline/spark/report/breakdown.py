"""Counts of records by source, language, reason, site and cluster size, for the report."""

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.ledger import Reason
from pipeline.reports import CutCluster, Fate, Group, Share
from pipeline.spark import tables
from pipeline.spark.dedup.clusters import cut_schema

WORDS = "gopher_words"
"""Metric that counts the words of an extracted text, where filters measure."""
_HOST = r"^[a-z][a-z0-9+.-]*://(?:[^/?#@]*@)?(?:www\.)?([^/?#:]+)"


def count_fates(entries: DataFrame, records: DataFrame) -> list[Fate]:
    """Count ledger entries and their words by source, language and reason. Texts are not read."""
    measured = records.where("error IS NULL").select(
        "id", "language", F.coalesce(f"metrics.{WORDS}", "words").alias("words")
    )
    counted = (
        entries.select("id", "source", "reason")
        .join(measured, "id")
        .groupBy("source", _null_to_empty("language"), _null_to_empty("reason"))
        .agg(F.count("*").alias("records"), F.sum("words").alias("words"))
    )
    fates = [
        Fate(row["source"], row["language"], row["reason"], row["records"], int(row["words"] or 0))
        for row in counted.collect()
    ]
    return sorted(fates, key=lambda fate: (fate.source, fate.language, fate.reason))


def largest_sites(entries: DataFrame, limit: int) -> list[Group]:
    """Return the hosts, without ``www.``, with the most records."""
    host = F.regexp_extract(F.lower("url"), _HOST, 1)
    by_reason = (
        entries.groupBy(host.alias("host"), "reason").agg(F.count("*").alias("records")).where("host != ''")
    )
    largest = (
        by_reason.groupBy("host")
        .agg(
            F.sum("records").alias("records"),
            F.sum(F.when(F.col("reason").isNull(), F.col("records")).otherwise(0)).alias("kept"),
            F.max_by("reason", F.struct(F.col("reason").isNotNull(), "records", "reason")).alias("reason"),
        )
        .orderBy(F.desc("records"), "host")
        .limit(limit)
    )
    return [Group(row["host"], row["records"], row["kept"], row["reason"] or "") for row in largest.collect()]


def lasting_copies(copies: DataFrame, entries: DataFrame) -> DataFrame:
    """Leave out survivors of which no text was left after cuts, and their duplicates: these have none."""
    emptied = entries.where(F.col("reason") == Reason.REPEATED.value).select("id")
    return copies.join(emptied, "id", "left_anti")


def cluster_sizes(copies: DataFrame) -> list[Share]:
    """Count the documents that stand for several, by the number of these, in powers of two."""
    power = F.floor(F.log2("cluster_size")).cast("int").alias("power")
    counted = (
        copies.where("reason IS NULL AND cluster_size > 1").groupBy(power).count().orderBy("power").collect()
    )
    return [Share(_size_label(row["power"]), row["count"]) for row in counted]


def cut_clusters(spark: SparkSession, folder: str) -> list[CutCluster]:
    """Return the clusters that were cut for their size, the largest first."""
    cut = tables.read_if_exists(spark, folder, cut_schema()).orderBy(F.desc("documents"), "joined_bands")
    return [CutCluster(**row.asDict()) for row in cut.collect()]


def _size_label(power: int) -> str:
    return f"{2**power:,} or {2**power + 1:,}" if power == 1 else f"{2**power:,} to {2 ** (power + 1) - 1:,}"


def _null_to_empty(name: str) -> Column:
    return F.coalesce(F.col(name), F.lit("")).alias(name)

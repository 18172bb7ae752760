"""What became of records, counted by source, language, reason and site."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.reports import Fate, Group, Share

WORDS = "gopher_words"
"""The measure that counts the words of an extracted text."""
_HOST = r"^[a-z][a-z0-9+.-]*://(?:[^/?#@]*@)?(?:www\.)?([^/?#:]+)"


def fates(entries: DataFrame, records: DataFrame) -> list[Fate]:
    """One per combination of source, language and reason. No text takes part in the join."""
    measured = records.where("error IS NULL").select(
        "id", "language", F.col(f"metrics.{WORDS}").alias("words")
    )
    counted = (
        entries.select("id", "source", "reason")
        .join(measured, "id")
        .groupBy("source", _or_empty("language"), _or_empty("reason"))
        .agg(F.count("*").alias("records"), F.sum("words").alias("words"))
    )
    found = [
        Fate(row["source"], row["language"], row["reason"], row["records"], int(row["words"] or 0))
        for row in counted.collect()
    ]
    return sorted(found, key=lambda fate: (fate.source, fate.language, fate.reason))


def sites(entries: DataFrame, limit: int) -> list[Group]:
    """The hosts, without ``www.``, that most records are from."""
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


def cluster_sizes(copies: DataFrame) -> list[Share]:
    """Clusters by size, in powers of two."""
    power = F.floor(F.log2("cluster_size")).cast("int").alias("power")
    counted = copies.where("id = cluster").groupBy(power).count().orderBy("power").collect()
    return [Share(_sizes(row["power"]), row["count"]) for row in counted]


def _sizes(power: int) -> str:
    return f"{2**power:,} or {2**power + 1:,}" if power == 1 else f"{2**power:,} to {2 ** (power + 1) - 1:,}"


def _or_empty(name: str) -> Column:
    return F.coalesce(F.col(name), F.lit("")).alias(name)

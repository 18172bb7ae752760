"""Repeated lines and passages for the report: how many there are, and the frequent ones of a sample."""

from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from core.manifest import Manifest
from pipeline import ledger
from pipeline.ledger import CUTS
from pipeline.ledger.cuts import is_cut
from pipeline.reports import RepeatedText, Share
from pipeline.spark import tables

SAMPLED, SHOWN, CHARACTERS = 2_000, 10, 300
"""Spans that are sampled per reason, different texts that are shown, and characters of each."""


def repeated_text(spark: SparkSession, out: str, made: Manifest, records: DataFrame) -> list[RepeatedText]:
    """Return what was found, by reason; nothing if it was not searched for."""
    facts: dict[str, dict[str, Any]] = made.facts.get("cuts", {})
    if not facts:
        return []
    cuts = tables.read(spark, f"{out}/{CUTS}", ledger.cuts_schema())
    spans = cuts.select("id", F.explode("spans").alias("span")).select("id", "span.*")
    return [
        RepeatedText(reason, is_cut(reason, made), **counts, samples=_frequent(spans, reason, records))
        for reason, counts in facts.items()
    ]


def _frequent(spans: DataFrame, reason: str, records: DataFrame) -> list[Share]:
    """Read a sample of the spans and return the most frequent ones."""
    order = F.xxhash64("id", "start")
    sample = F.broadcast(spans.where(F.col("reason") == reason).orderBy(order).limit(SAMPLED).drop("reason"))
    length = F.least(F.col("end") - F.col("start"), F.lit(CHARACTERS)).cast("int")
    text = F.substring("text", (F.col("start") + 1).cast("int"), length)
    texts = records.select("id", "text").join(sample, "id").groupBy(F.trim(text).alias("text")).count()
    return [
        Share(row["text"], row["count"])
        for row in texts.orderBy(F.desc("count"), "text").limit(SHOWN).collect()
    ]

"""Publish the evaluation items found in documents as a table, and count them for the manifest."""

from collections import defaultdict
from typing import Any

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from core import storage
from core.config import Config
from pipeline.decontamination import EvaluationIndex
from pipeline.decontamination.report import MAX_ITEMS, set_facts
from pipeline.decontamination.rows import table_schema
from pipeline.ledger import Reason
from pipeline.spark import record_processing, tables

TABLE = "contamination"
"""Published folder: one row per document and item in it, dropped documents included."""
NUM_EXAMPLES = 3
"""Documents that are named per item."""


def validate(config: Config) -> None:
    """Raise :class:`InputError` for local evaluation sets that are missing. Reads none."""
    for path in config.decontamination.paths:
        storage.check_local(path)


def publish(
    spark: SparkSession, out: str, records: str, index: EvaluationIndex | None, config: Config
) -> dict[str, Any]:
    """Write the table :data:`TABLE` from the table in the folder ``records``, and return the facts about it.

    Does nothing if there are no evaluation sets.
    """
    if not index:
        return {}
    searched = _searched(spark, records)
    matches = searched.select("id", "source", "url", F.explode("contamination.matches").alias("match"))
    tables.write(matches.select("id", "source", "url", "match.*"), f"{out}/{TABLE}")
    found = tables.read(spark, f"{out}/{TABLE}", table_schema())
    by_set = found.groupBy("benchmark").agg(F.countDistinct("item"), F.countDistinct("id"))
    counts = {name: (items, documents) for name, items, documents in by_set.collect()}
    total = searched.agg(
        F.count("*").alias("documents"), F.sum("contamination.removed_characters").alias("removed_characters")
    )
    documents, removed = total.collect()[0]
    facts = {
        "action": config.decontamination.action,
        "documents": documents,
        "removed_characters": removed or 0,
        "sets": set_facts(index.sets, counts, _top_items(found)),
    }
    return {"contamination": facts}


def _searched(spark: SparkSession, records: str) -> DataFrame:
    """Return the contaminated records that no filter dropped."""
    table = tables.read(spark, records, record_processing.schema())
    reached = F.col("reason").isNull() | (F.col("reason") == Reason.CONTAMINATION.value)
    return table.where(F.col("contamination").isNotNull() & reached)


def _top_items(found: DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return the items in the most documents, by set."""
    most_hits_first = F.struct(-F.col("hits"), "id")
    items = found.groupBy("benchmark", "item").agg(
        F.count("*").alias("documents"),
        F.max("hits").alias("hits"),
        F.min_by("passage", most_hits_first).alias("passage"),
        F.min_by("id", most_hits_first, NUM_EXAMPLES).alias("examples"),
    )
    order = Window.partitionBy("benchmark").orderBy(F.desc("documents"), F.desc("hits"), "item")
    ranked = items.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= MAX_ITEMS)
    result = defaultdict(list)
    for row in ranked.orderBy("benchmark", "rank").drop("rank").collect():
        fields = row.asDict()
        result[fields.pop("benchmark")].append(fields)
    return result

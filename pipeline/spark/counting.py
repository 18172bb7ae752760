"""Count what was published of a corpus, and write its manifest."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from core.manifest import Manifest
from core.stage import Stage
from pipeline import document, ledger
from pipeline.filters import pii
from pipeline.ledger import ANALYSIS, LEDGER, Reason
from pipeline.spark import checks, record_processing, tables


def publish(
    spark: SparkSession,
    stage: Stage,
    records: str,
    decisions: DataFrame,
    conditions: Sequence[Reason] = (),
    facts: Mapping[str, Any] | None = None,
) -> Manifest:
    """Count what was written, check that it belongs together, and write the manifest.

    ``conditions``: the filters' conditions, for the funnel. ``facts`` are added to those of every corpus.
    Raises :class:`core.errors.OutputError` as :func:`pipeline.spark.checks.check_corpus`.
    """
    out = stage.folder
    counts, by_source, with_url = count_records(spark, out)
    published = [table for table in stage.owned if table != ANALYSIS]
    files = [entry for table in published for entry in tables.file_entries(spark, out, table)]
    checks.check_corpus(spark, stage, records, counts, files)
    return stage.publish(
        counts=counts
        | {"duplicate_clusters": decisions.where("reason IS NULL AND cluster_size > 1").count()},
        files=files,
        facts={
            "by_source": by_source,
            "funnel": [step.model_dump() for step in ledger.funnel_steps(counts, with_url, conditions)],
            "corpus": corpus_hash(spark, records, decisions),
            **(facts or {}),
        },
    )


def count_records(spark: SparkSession, out: str) -> tuple[dict[str, int], dict[str, dict[str, int]], int]:
    """Count the published records: in total, by source, and those with a URL that the filters checked.

    Keys are ``records_in``, ``kept``, ``dropped``, ``quarantined`` and ``dropped.<reason>``.
    """
    entries = tables.read(spark, f"{out}/{LEDGER}", ledger.schema())
    has_url = F.coalesce(F.col("url"), F.lit("")) != ""
    lines = entries.groupBy("source", "reason", has_url.alias("has_url")).count().collect()
    damaged = tables.read(spark, f"{out}/quarantine", ledger.quarantine_schema()).groupBy("source").count()
    total: Counter[str] = Counter(records_in=0, kept=0, dropped=0, quarantined=0)
    by_source: dict[str, Counter[str]] = defaultdict(Counter)
    quarantined = [(row["source"], "quarantined", False, row["count"]) for row in damaged.collect()]
    with_url = 0
    for source, reason, url_present, number in [*lines, *quarantined]:
        keys = ["records_in"]
        if reason is None or reason == "quarantined":
            keys.append(reason or "kept")
        else:
            keys += ["dropped", f"dropped.{reason}"]
        for key in keys:
            total[key] += number
            by_source[source][key] += number
        if url_present and not (reason or "").startswith("read."):
            with_url += number
    ordered = {source: dict(sorted(counts.items())) for source, counts in sorted(by_source.items())}
    return dict(sorted(total.items())), ordered, with_url


def count_personal_data(spark: SparkSession, out: str) -> dict[str, int]:
    """Return the number of items of personal data found in the published documents by type, masked or not."""
    documents = tables.read(spark, f"{out}/documents", document.schema())
    found = documents.agg(*(F.sum(f"metrics.{metric}").alias(metric) for metric in pii.TAGS)).first()
    return {metric: int(found[metric] or 0) if found else 0 for metric in pii.TAGS}


def count_edits(spark: SparkSession, out: str) -> dict[str, dict[str, int]]:
    """Count by source what line rules and the removal of sentences took from the published documents.

    Keys are ``documents``, ``edited`` (documents from which something was removed), ``characters`` (before),
    ``removed_characters`` and ``removed_lines``. White space does not count.
    """
    documents = tables.read(spark, f"{out}/documents", document.schema())
    counted = ("characters", "removed_characters", "removed_lines")
    rows = documents.groupBy("source").agg(
        F.count("*").alias("documents"),
        F.count_if(F.col("metrics.removed_characters") > 0).alias("edited"),
        *(F.sum(f"metrics.{metric}").cast("long").alias(metric) for metric in counted),
    )
    found = sorted(rows.collect(), key=lambda row: str(row["source"]))
    return {row["source"]: {key: row[key] or 0 for key in ("documents", "edited", *counted)} for row in found}


def corpus_hash(spark: SparkSession, records: str, decisions: DataFrame) -> str:
    """Return a hash (32 hex digits) of the set of published (id, text, cluster), however it is stored.

    Two exclusive ors of 64-bit row hashes: independent of order, and no text is read.
    """
    table = tables.read(spark, records, record_processing.schema())
    kept = table.where("reason IS NULL AND error IS NULL").select("id", "text_hash")
    joined = kept.join(
        decisions.select("id", "cluster", "cuts", F.col("reason").alias("dropped")), "id", "left"
    )
    row = [F.col("id"), F.col("text_hash"), F.coalesce("cluster", "id"), F.to_json("cuts")]
    halves = [F.hex(F.bit_xor(F.xxhash64(F.lit(seed), *row))) for seed in (0, 1)]
    found = joined.where("dropped IS NULL").agg(*halves).first()
    return "".join((half or "0").rjust(16, "0") for half in found or ()).lower()

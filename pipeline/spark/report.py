"""The report of a run, aggregated from its tables; no step gathers more than the page shows."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from pipeline import document, ledger, manifest, storage
from pipeline.config import Config, require
from pipeline.ledger import RULES, Reason
from pipeline.manifest import Manifest
from pipeline.reports import Content, Histogram, Sample, Share, render
from pipeline.shards import Facts
from pipeline.spark import clean, one_pass, tables

SAMPLES = 10
BINS = 40
LANGUAGES = 20
POINTS = 400
"""Steps drawn of a training curve, at most."""


def report(spark: SparkSession, config: Config) -> str:
    """Write ``report.html`` beside the run's tables and return its path; a page that is up to date stays.

    Raises :class:`pipeline.errors.ManifestError` where the clean stage is not finished. Packing and training
    are shown as far as they have come.
    """
    require(config, "output.path")
    out = storage.absolute(config.output.path)
    made = manifest.read(out, clean.STAGE)
    parts = {
        "corpus": made.sha256(),
        "shards": _if_there(f"{out}/shards/{manifest.NAME}"),
        "metrics": _if_there(f"{out}/training/metrics.jsonl"),
        "validation": _if_there(f"{out}/training/validation.json"),
    }
    mark = f"<!-- {hashlib.sha256(manifest.canonical(parts)).hexdigest()} -->\n"
    path = storage.join(out, "report.html")
    if _if_there(path).startswith(mark):
        print("report: already done")
        return path
    page = render(_content(spark, out, made, parts))
    storage.write_atomic(path, (mark + page).encode())
    return path


def _if_there(path: str) -> str:
    return storage.read_bytes(path).decode() if storage.exists(path) else ""


def _content(spark: SparkSession, out: str, made: Manifest, parts: Mapping[str, str]) -> Content:
    documents = tables.read(spark, f"{out}/documents", document.schema())
    entries = tables.read(spark, f"{out}/ledger", ledger.schema())
    records = tables.read(spark, f"{out}/{clean.RECORDS}", one_pass.schema())
    dropped = [
        Share(key.removeprefix("dropped."), count)
        for key, count in made.counts.items()
        if key.startswith("dropped.")
    ]
    return Content(
        counts=made.counts,
        by_source=made.facts["by_source"],
        dropped=sorted(dropped, key=lambda share: -share.count),
        languages=_most(documents, F.col("language"), LANGUAGES),
        cluster_sizes=_cluster_sizes(documents),
        histograms=_histograms(records, made.config["filters"]["thresholds"]),
        dropped_samples=_dropped_samples(entries, dropped),
        kept_samples=_kept_samples(documents),
        tokens=_tokens(parts["shards"]),
        loss=_loss(parts["metrics"]),
        validation=_validation(parts["validation"]),
        configuration=json.dumps(made.config, indent=2, ensure_ascii=False),
    )


def _most(table: DataFrame, by: Column, limit: int) -> list[Share]:
    counted = table.groupBy(by.alias("label")).count().orderBy(F.desc("count"), "label").limit(limit)
    return [Share(row["label"] or "unknown", row["count"]) for row in counted.collect()]


def _cluster_sizes(documents: DataFrame) -> list[Share]:
    """Clusters by size, in powers of two."""
    power = F.floor(F.log2("cluster_size")).cast("int").alias("power")
    counted = documents.where("cluster_size > 1").groupBy(power).count().orderBy("power").collect()
    return [Share(f"{2 ** row[0]} to {2 ** (row[0] + 1) - 1} documents", row["count"]) for row in counted]


def _histograms(records: DataFrame, thresholds: Mapping[str, float]) -> list[Histogram]:
    """All metrics in two passes over their columns: the range that holds 99 of 100 records, then counts."""
    values = records.where("metrics IS NOT NULL").select("metrics.*")
    ends = values.agg(
        *(F.percentile_approx(name, [0.005, 0.995], 1000).alias(name) for name in document.METRICS)
    ).first()
    ranges = {name: ends[name] for name in document.METRICS if ends and ends[name]}
    if not ranges:
        return []
    bins = [
        F.struct(F.lit(name).alias("metric"), _bin(name, low, high).alias("bin"))
        for name, (low, high) in ranges.items()
    ]
    counted = values.select(F.explode(F.array(*bins)).alias("at")).groupBy("at.metric", "at.bin").count()
    found = {(row["metric"], row["bin"]): row["count"] for row in counted.collect()}
    return [
        Histogram(
            metric=name,
            edges=[low + (high - low) * index / BINS for index in range(BINS + 1)],
            counts=[found.get((name, index), 0) for index in range(BINS)],
            thresholds={key: limit for key, limit in thresholds.items() if RULES[Reason(key)][0] == name},
        )
        for name, (low, high) in ranges.items()
    ]


def _bin(name: str, low: float, high: float) -> Column:
    """Index of the bin of a value; what lies outside the range counts at its ends."""
    place = F.floor((F.col(name) - low) / ((high - low) or 1.0) * BINS)
    return F.least(F.greatest(place, F.lit(0)), F.lit(BINS - 1)).cast("int")


def _dropped_samples(entries: DataFrame, dropped: Sequence[Share]) -> dict[str, list[Sample]]:
    """Up to ten entries per reason, chosen by id among so few that a shuffle of them is nothing."""
    if not dropped:
        return {}
    share = {of.label: min(1.0, 100 * SAMPLES / of.count) for of in dropped}
    limits = F.create_map(*(F.lit(item) for pair in share.items() for item in pair))
    place = F.conv(F.substring("id", 1, 8), 16, 10).cast("long") / F.lit(2**32)
    ranked = Window.partitionBy("reason").orderBy(F.col("sample").isNull(), "id")
    chosen = (
        entries.where("NOT kept")
        .where(place <= limits[F.col("reason")])
        .withColumn("rank", F.row_number().over(ranked))
        .where(F.col("rank") <= SAMPLES)
        .orderBy("reason", "rank")
    )
    samples: dict[str, list[Sample]] = {}
    for row in chosen.collect():
        samples.setdefault(row["reason"], []).append(
            Sample(
                id=row["id"],
                url=row["url"] or "",
                text=row["sample"] or "",
                value=row["value"],
                threshold=row["threshold"],
                duplicate_of=row["duplicate_of"],
            )
        )
    return samples


def _kept_samples(documents: DataFrame) -> list[Sample]:
    shown = documents.select("id", "url", F.substring("text", 1, 1500).alias("text"))
    rows = shown.orderBy("id").limit(SAMPLES).collect()
    return [Sample(row["id"], row["url"] or "", row["text"]) for row in rows]


def _tokens(shards: str) -> dict[str, int]:
    if not shards:
        return {}
    facts = Facts.model_validate(json.loads(shards)["facts"])
    return {source: totals.tokens for source, totals in facts.sources["train"].items()}


def _loss(metrics: str) -> list[tuple[int, float]]:
    """The training curve, thinned evenly."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in metrics.splitlines()]
    points = [(int(line["step"]), float(line["train/loss"])) for line in lines if "train/loss" in line]
    return points[:: max(1, len(points) // POINTS)]


def _validation(text: str) -> dict[str, tuple[float, float]]:
    if not text:
        return {}
    sources: dict[str, dict[str, float]] = json.loads(text)["sources"]
    return {
        source: (bits["bits_per_byte"], bits["unigram_bits_per_byte"]) for source, bits in sources.items()
    }

"""Statistics of every filter and metric for the report, in two passes over the metric columns.

1. Quantiles of every metric choose the bin edges of its histogram.
2. Values are counted into bins, and per condition those that fail it, in Arrow batches.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from core.manifest import Manifest
from pipeline import document
from pipeline.ledger import RULES, Reason
from pipeline.ledger.filter_settings import filter_settings
from pipeline.reports import Distribution, Filter, Limit, Range
from pipeline.reports.distribution import COUNTS, FAILING, bin_edges, count_values, distribution

METRICS = ("language_score", *document.METRICS)
QUANTILES = (0.0, 0.005, 0.995, 1.0)
"""Extremes, which Spark gives exactly, and the middle 99 %."""

Counts = Mapping[tuple[str, int], int]


def filter_stats(records: DataFrame, made: Manifest) -> tuple[list[Filter], list[Distribution]]:
    """Return a filter for every condition and every other reason that dropped a record, in order.

    The second list holds the metrics without a condition.
    """
    settings = filter_settings(made)
    thresholds = {Reason(name): value for name, value in settings["thresholds"].items()}
    limits: dict[str, list[Limit]] = defaultdict(list)
    for reason, threshold in thresholds.items():
        metric, bound = RULES[reason]
        limits[metric].append(Limit(reason.value, bound, threshold))
    ranges = _ranges(records)
    edges = {metric: bin_edges(metric, values, limits[metric]) for metric, values in ranges.items()}
    counts = _counts(records, edges, {metric: limits[metric] for metric in edges})
    distributions = {
        metric: distribution(metric, edges[metric], counts, values.maximum, limits[metric])
        for metric, values in ranges.items()
    }
    filters = [
        _filter(reason, settings, distributions, counts, made)
        for reason in _ordered_reasons(thresholds, made)
    ]
    return filters, [found for metric, found in distributions.items() if not limits[metric]]


def _ordered_reasons(thresholds: Mapping[Reason, float], made: Manifest) -> list[Reason]:
    """Reading, URLs, extraction, languages, the recipe's conditions in order, contamination, duplicates."""
    others = [
        reason for reason in Reason if reason not in thresholds and made.counts.get(f"dropped.{reason}", 0)
    ]
    stages = ["read", "url", "extract", "language", "", "contamination", "dedup"]

    def rank(reason: Reason) -> int:
        return stages.index(reason.stage if reason.stage in stages else "")

    return sorted([*others, *thresholds], key=rank)


def _filter(
    reason: Reason,
    settings: Mapping[str, Any],
    distributions: Mapping[str, Distribution],
    counts: Counts,
    made: Manifest,
) -> Filter:
    dropped = made.counts.get(f"dropped.{reason}", 0)
    reached = {step["reason"]: step["reached"] for step in made.facts["funnel"]}.get(reason.value)
    thresholds: Mapping[str, float] = settings["thresholds"]
    if reason not in thresholds:
        return Filter(reason.value, reason.meaning, dropped, reached)
    metric, bound = RULES[reason]
    exceptions = settings["thresholds_by_language"].get(reason.value, {})
    return Filter(
        reason=reason.value,
        meaning=reason.meaning,
        dropped=dropped,
        reached=reached,
        failing=None if exceptions else counts.get((reason.value, FAILING), 0),
        limit=Limit(reason.value, bound, thresholds[reason]),
        exceptions=len(exceptions),
        metric=metric,
        distribution=distributions.get(metric),
    )


def _ranges(records: DataFrame) -> dict[str, Range]:
    """Ranges of the metrics that have values."""
    quantiles = (F.percentile_approx(name, list(QUANTILES), 1000).alias(name) for name in METRICS)
    row = _metric_columns(records).agg(*quantiles).first()
    return {name: Range(*row[name]) for name in METRICS if row and row[name]}


def _counts(
    records: DataFrame, edges: Mapping[str, Sequence[float]], limits: Mapping[str, Sequence[Limit]]
) -> dict[tuple[str, int], int]:
    if not edges:
        return {}
    counting = partial(_count_batches, edges=edges, limits=limits)
    parts = _metric_columns(records).select(*edges).mapInArrow(counting, from_arrow_schema(COUNTS))
    rows = parts.groupBy("name", "bin").agg(F.sum("records").alias("records")).collect()
    return {(row["name"], row["bin"]): row["records"] for row in rows}


def _count_batches(
    batches: Iterator[pa.RecordBatch],
    edges: Mapping[str, Sequence[float]],
    limits: Mapping[str, Sequence[Limit]],
) -> Iterator[pa.RecordBatch]:
    return count_values(batches, edges, limits)


def _metric_columns(records: DataFrame) -> DataFrame:
    return records.select("language_score", "metrics.*")

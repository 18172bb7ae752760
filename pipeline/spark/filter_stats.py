"""Every measure's histogram and every condition's toll, in two passes over the columns of numbers."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from core.manifest import Manifest
from pipeline import document
from pipeline.ledger import RULES, Reason
from pipeline.reports import Distribution, Filter, Limit, Range
from pipeline.reports.distribution import COUNTED, FAILING, count, distribution, edges

METRICS = ("language_score", *document.METRICS)

Sums = Mapping[tuple[str, int], int]


def filters(records: DataFrame, made: Manifest) -> tuple[list[Filter], list[Distribution]]:
    """A filter for every condition in force and every other reason that dropped something, in their order.

    And the measures that no condition looks at.
    """
    thresholds = {Reason(name): value for name, value in made.config["filters"]["thresholds"].items()}
    limits: dict[str, list[Limit]] = defaultdict(list)
    for reason, threshold in thresholds.items():
        metric, bound = RULES[reason]
        limits[metric].append(Limit(reason.value, bound, threshold))
    ranges = _ranges(records)
    columns = {metric: edges(metric, values, limits[metric]) for metric, values in ranges.items()}
    sums = _sums(records, columns, {metric: limits[metric] for metric in columns})
    drawn = {
        metric: distribution(metric, ends, sums, ranges[metric].most, limits[metric])
        for metric, ends in columns.items()
    }
    shown = [_filter(reason, thresholds, drawn, sums, made) for reason in _order(thresholds, made)]
    return shown, [of for metric, of in drawn.items() if not limits[metric]]


def _order(thresholds: Mapping[Reason, float], made: Manifest) -> list[Reason]:
    """Reading, addresses, extraction, languages, the conditions as the recipe has them, duplicates."""
    others = [
        reason for reason in Reason if reason not in thresholds and made.counts.get(f"dropped.{reason}", 0)
    ]
    early = ["read", "url", "extract", "language", "", "dedup"]

    def rank(reason: Reason) -> int:
        return early.index(reason.stage if reason.stage in early else "")

    return sorted([*others, *thresholds], key=rank)


def _filter(
    reason: Reason,
    thresholds: Mapping[Reason, float],
    drawn: Mapping[str, Distribution],
    sums: Sums,
    made: Manifest,
) -> Filter:
    dropped = made.counts.get(f"dropped.{reason}", 0)
    reached = {step["reason"]: step["reached"] for step in made.facts["funnel"]}.get(reason.value)
    if reason not in thresholds:
        return Filter(reason.value, reason.meaning, dropped, reached)
    metric, bound = RULES[reason]
    others = made.config["filters"]["thresholds_by_language"].get(reason.value, {})
    return Filter(
        reason=reason.value,
        meaning=reason.meaning,
        dropped=dropped,
        reached=reached,
        failing=None if others else sums.get((reason.value, FAILING), 0),
        limit=Limit(reason.value, bound, thresholds[reason]),
        exceptions=len(others),
        metric=metric,
        distribution=drawn.get(metric),
    )


def _ranges(records: DataFrame) -> dict[str, Range]:
    """Of every measure that was taken."""
    shares = [0.0, 0.005, 0.995, 1.0]
    ends = (
        _numbers(records)
        .agg(*(F.percentile_approx(name, shares, 1000).alias(name) for name in METRICS))
        .first()
    )
    return {name: Range(*ends[name]) for name in METRICS if ends and ends[name]}


def _sums(
    records: DataFrame, columns: Mapping[str, Sequence[float]], limits: Mapping[str, Sequence[Limit]]
) -> dict[tuple[str, int], int]:
    if not columns:
        return {}
    counting = partial(_count, columns=columns, limits=limits)
    parts = _numbers(records).select(*columns).mapInArrow(counting, from_arrow_schema(COUNTED))
    rows = parts.groupBy("name", "column").agg(F.sum("records").alias("records")).collect()
    return {(row["name"], row["column"]): row["records"] for row in rows}


def _count(
    batches: Iterator[pa.RecordBatch],
    columns: Mapping[str, Sequence[float]],
    limits: Mapping[str, Sequence[Limit]],
) -> Iterator[pa.RecordBatch]:
    return count(batches, columns, limits)


def _numbers(records: DataFrame) -> DataFrame:
    return records.select("language_score", "metrics.*")

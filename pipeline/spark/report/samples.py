"""Example records for the report: dropped and nearly dropped ones for every reason, and duplicate clusters.

1. Records are chosen by id and metric alone, so that the choice does not depend on how tables are stored.
2. One scan reads the texts of the chosen records.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from pipeline.ledger import Reason
from pipeline.reports import Cluster, Filter, Sample

SAMPLES = 10
"""Samples of dropped records, and of kept ones, per reason."""
CHARACTERS = 400
COPIES = 3
"""Duplicates shown of an example cluster."""


def select_samples(
    entries: DataFrame, documents: DataFrame, copies: DataFrame, records: DataFrame, filters: Sequence[Filter]
) -> tuple[list[Filter], list[Cluster]]:
    """Return the filters with their samples, and example clusters."""
    dropped, kept = _dropped_rows(entries), _nearly_dropped_rows(documents, filters)
    clusters = _example_clusters(copies)
    ids = {row["id"] for rows in (*dropped.values(), *kept.values()) for row in rows}
    details = _read_details(records, ids.union(*(cluster["members"] for cluster in clusters)))
    with_samples = [
        replace(
            each,
            dropped_samples=_to_samples(dropped.get(each.reason, ()), details),
            kept_samples=_to_samples(kept.get(each.reason, ()), details),
        )
        for each in filters
    ]
    return with_samples, [_to_cluster(cluster, details) for cluster in clusters]


def _to_cluster(cluster: Row, details: Mapping[str, Mapping[str, Any]]) -> Cluster:
    """Add the details of each member, of which a survivor of an earlier run has none."""
    survivor, *others = cluster["members"]
    known = {} if cluster["indexed"] else details.get(survivor, {})
    samples = [Sample(id=survivor, **known), *(Sample(id=each, **details[each]) for each in others)]
    return Cluster(cluster["size"], samples, cluster["indexed"])


def _dropped_rows(entries: DataFrame) -> dict[str, list[Row]]:
    """For every reason, choose the ledger entries with the least ids, those with a text sample first."""
    columns = F.struct("id", "value", "threshold", "duplicate_of")
    least = F.min_by(columns, F.struct(F.col("sample").isNull(), "id"), SAMPLES)
    rows = entries.where("NOT kept").groupBy("reason").agg(least.alias("rows")).collect()
    return {row["reason"]: row["rows"] for row in rows}


def _nearly_dropped_rows(documents: DataFrame, filters: Sequence[Filter]) -> dict[str, list[Row]]:
    """For every condition, choose the kept documents whose value is nearest to the threshold.

    Documents with value 0 are no examples for an upper bound and are left out.
    """
    nearest = [_nearest(each).alias(each.reason.replace(".", "_")) for each in filters if each.limit]
    if not nearest:
        return {}
    row = documents.select("id", "language_score", "metrics.*").agg(*nearest).first()
    assert row is not None, "an aggregate has a row"
    return {each.reason: row[each.reason.replace(".", "_")] or [] for each in filters if each.limit}


def _nearest(each: Filter) -> Column:
    assert each.limit is not None, "of conditions only"
    value, limit = F.col(each.metric), F.lit(each.limit.threshold)
    eligible = value.isNotNull() & ((value != 0) | F.lit(each.limit.bound == "at least"))
    row = F.struct("id", value.alias("value"), limit.alias("threshold"))
    return F.min_by(row, F.when(eligible, F.struct(F.abs(value - limit), F.col("id"))), SAMPLES)


def _example_clusters(copies: DataFrame) -> list[Row]:
    """Choose the survivor of most documents and the one of most near duplicates, each with some of these."""
    is_near = F.col("reason") == Reason.NEAR_DUPLICATE.value
    dropped = copies.where("reason IS NOT NULL").groupBy("duplicate_of", "duplicate_in")
    clusters = dropped.agg(
        F.first("cluster_size").alias("size"),
        F.max(is_near).alias("near"),
        F.min_by("id", F.struct(~is_near, F.col("id")), COPIES).alias("others"),
    )
    order = F.struct("size", "duplicate_of")
    order_near = F.when(F.col("near"), order)
    members = F.concat(F.array("duplicate_of"), "others").alias("members")
    example = F.struct("size", members, F.col("duplicate_in").isNotNull().alias("indexed"))
    found = clusters.agg(
        F.max_by(example, order).alias("largest"),
        F.max_by(example, order_near).alias("near"),
    ).first()
    return list({row["members"][0]: row for row in found or () if row}.values())


def _to_samples(rows: Iterable[Row], details: Mapping[str, Mapping[str, Any]]) -> list[Sample]:
    """Add the details of each row, and sort by value."""
    samples = [Sample(**row.asDict(), **details[row["id"]]) for row in rows]
    return sorted(samples, key=lambda sample: (sample.value is None, sample.value or 0, sample.id))


def _read_details(records: DataFrame, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Read URL, title, language, toxicity and the beginning of the text, by id."""
    text = F.coalesce("sample", F.substring("text", 1, CHARACTERS))
    chosen = records.where(F.col("id").isin(sorted(ids)))
    rows = chosen.select("id", "url", "title", "language", text.alias("text"), "metrics.toxicity").collect()
    return {row["id"]: {key: value for key, value in row.asDict().items() if key != "id"} for row in rows}

"""Records to look at: for every reason some that it dropped and some that it nearly did, and copies."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from pipeline.ledger import Reason
from pipeline.reports import Cluster, Filter, Sample

SAMPLES = 10
"""Of each kind, for every reason."""
CHARACTERS = 400
COPIES = 3
"""Copies shown of an example cluster."""


def samples(
    entries: DataFrame, documents: DataFrame, copies: DataFrame, records: DataFrame, filters: Sequence[Filter]
) -> tuple[list[Filter], list[Cluster]]:
    """The filters with their samples, and example clusters; the same however tables are spread over files.

    Chosen by id and number alone; then one scan looks up the texts.
    """
    dropped, kept, clusters = _dropped(entries), _kept(documents, filters), _copies(copies)
    ids = {row["id"] for rows in (*dropped.values(), *kept.values()) for row in rows}
    known = _look_up(records, ids.union(*(cluster["members"] for cluster in clusters)))
    shown = [
        replace(
            each,
            dropped_samples=_samples(dropped.get(each.reason, ()), known),
            kept_samples=_samples(kept.get(each.reason, ()), known),
        )
        for each in filters
    ]
    examples = [
        Cluster(cluster["size"], [Sample(id=each, **known[each]) for each in cluster["members"]])
        for cluster in clusters
    ]
    return shown, examples


def _dropped(entries: DataFrame) -> dict[str, list[Row]]:
    """For every reason the entries of least id, those with a text sample first."""
    columns = F.struct("id", "value", "threshold", "duplicate_of")
    least = F.min_by(columns, F.struct(F.col("sample").isNull(), "id"), SAMPLES)
    rows = entries.where("NOT kept").groupBy("reason").agg(least.alias("rows")).collect()
    return {row["reason"]: row["rows"] for row in rows}


def _kept(documents: DataFrame, filters: Sequence[Filter]) -> dict[str, list[Row]]:
    """For every condition the kept documents whose value is nearest to the threshold.

    Where nothing is the most that is allowed, or what a document has, it tells nothing: none are chosen.
    """
    nearest = [_nearest(each).alias(each.reason.replace(".", "_")) for each in filters if each.limit]
    if not nearest:
        return {}
    found = documents.select("id", "language_score", "metrics.*").agg(*nearest).first()
    assert found is not None, "an aggregate has a row"
    return {each.reason: found[each.reason.replace(".", "_")] or [] for each in filters if each.limit}


def _nearest(each: Filter) -> Column:
    assert each.limit is not None, "of conditions only"
    value, limit = F.col(each.metric), F.lit(each.limit.threshold)
    telling = value.isNotNull() & ((value != 0) | F.lit(each.limit.bound == "at least"))
    row = F.struct("id", value.alias("value"), limit.alias("threshold"))
    return F.min_by(row, F.when(telling, F.struct(F.abs(value - limit), F.col("id"))), SAMPLES)


def _copies(copies: DataFrame) -> list[Row]:
    """The largest cluster of all and the largest with near copies: size, and who stays before some others."""
    is_near = F.col("reason") == Reason.NEAR_DUPLICATE.value
    others = F.min_by("id", F.when(F.col("id") != F.col("cluster"), F.struct(~is_near, F.col("id"))), COPIES)
    clusters = copies.groupBy("cluster").agg(
        F.first("cluster_size").alias("size"), F.max(is_near).alias("near"), others.alias("others")
    )
    order = F.struct("size", "cluster")
    whole = F.struct("size", F.concat(F.array("cluster"), "others").alias("members"))
    found = clusters.agg(
        F.max_by(whole, order).alias("largest"), F.max_by(whole, F.when(F.col("near"), order)).alias("near")
    ).first()
    return list({row["members"][0]: row for row in found or () if row}.values())


def _samples(rows: Iterable[Row], known: Mapping[str, Mapping[str, Any]]) -> list[Sample]:
    """In the order of their values."""
    found = [Sample(**row.asDict(), **known[row["id"]]) for row in rows]
    return sorted(found, key=lambda sample: (sample.value is None, sample.value or 0, sample.id))


def _look_up(records: DataFrame, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Address, title, language, toxicity and the beginning of the text, by id."""
    text = F.coalesce("sample", F.substring("text", 1, CHARACTERS))
    wanted = records.where(F.col("id").isin(sorted(ids)))
    rows = wanted.select("id", "url", "title", "language", text.alias("text"), "metrics.toxicity").collect()
    return {row["id"]: {key: value for key, value in row.asDict().items() if key != "id"} for row in rows}

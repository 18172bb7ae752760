"""Repeated lines and passages of the documents that stay: found, described, and joined to the decisions.

The table of cuts has one row per document with such parts. They are removed when the document is published.
"""

from collections.abc import Collection
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from core import storage
from core.config import Config, DedupConfig
from pipeline.dedup.cuts import LINES, SUBSTRINGS, Span, cut
from pipeline.ledger import CUTS, Reason
from pipeline.ledger.tables import cuts_schema
from pipeline.spark import publishing, tables
from pipeline.spark.dedup.cuts import find_cuts

_TEXT = pa.schema([(name, pa.string()) for name in ("part", "id", "text", "url", "path")])


def find_repeated_text(
    spark: SparkSession, config: Config, out: str, records: str, copies: DataFrame, stage: str
) -> DataFrame:
    """Return the decisions: the table of copies, with what is cut from the documents that stay.

    The table of cuts is made in ``out``, unless an earlier attempt finished it or nothing is searched for.
    """
    settings = config.dedup
    if not (settings.lines.min_documents or settings.substrings.min_words):
        return copies.withColumn("cuts", F.lit(None).cast(publishing.SPANS))
    folder = f"{out}/{CUTS}"
    make = partial(_write_cuts, spark, settings, records, copies)
    tables.write_once(folder, make, f"{stage}: finding repeated lines and passages")
    return _decisions(copies, tables.read(spark, folder, cuts_schema()), settings)


def _write_cuts(
    spark: SparkSession, settings: DedupConfig, records: str, copies: DataFrame, folder: str
) -> None:
    work = f"{folder}.work"
    dropped = copies.where("reason IS NOT NULL")
    columns = ["id", "text", "url", "origin.path", "reason", "error"]
    survivors = publishing.map_parts(spark, records, dropped, _texts, columns, _TEXT)
    found = tables.checkpoint(spark, find_cuts(spark, survivors, settings, work), f"{work}/found")
    by_document = found.groupBy("part", "id").agg(F.collect_list(F.struct("reason", "spans")).alias("found"))
    describe = partial(_describe, applied=_applied(settings))
    schema = cuts_schema()
    tables.write(publishing.map_parts(spark, records, by_document, describe, ["id", "text"], schema), folder)
    storage.remove(work)


def _applied(settings: DedupConfig) -> Collection[str]:
    """Return what is cut, and not only marked."""
    return {LINES, SUBSTRINGS} if settings.substrings.action == "cut" else {LINES}


def _texts(rows: pa.RecordBatch, dropped: publishing.Decisions) -> pa.Table:
    """Return the texts of the documents that stay."""
    table = pa.Table.from_batches([rows]).filter(pc.and_(rows["reason"].is_null(), rows["error"].is_null()))
    stays = pa.array([id_ not in dropped for id_ in table["id"].to_pylist()], pa.bool_())
    table = table.filter(stays)
    paths = pc.struct_field(table["origin"], "path")
    return table.append_column("path", paths).select(_TEXT.names)


def _describe(rows: pa.RecordBatch, found: dict[str, dict[str, Any]], applied: Collection[str]) -> pa.Table:
    """Return a row of the table of cuts for every document in which something was found."""
    described = []
    for row in rows.to_pylist():
        if not (document := found.get(row["id"])):
            continue
        spans = sorted(
            (span["start"], span["end"], each["reason"])
            for each in document["found"]
            for span in each["spans"]
        )
        removed = [Span(start, end) for start, end, reason in spans if reason in applied]
        described.append(
            {
                "part": row["part"],
                "id": row["id"],
                "spans": [{"start": start, "end": end, "reason": reason} for start, end, reason in spans],
                "characters": len(row["text"]),
                "cut_characters": sum(end - start for start, end in removed),
                "emptied": not cut(row["text"], removed).strip(),
            }
        )
    return pa.Table.from_pylist(described, schema=cuts_schema())


def _decisions(copies: DataFrame, cuts: DataFrame, settings: DedupConfig) -> DataFrame:
    """Join what is cut to the decisions. A document that is emptied is dropped, with its duplicates."""
    applied = F.filter("spans", lambda span: span["reason"].isin(*_applied(settings)))
    cut = cuts.select("part", "id", applied.alias("cuts"), "emptied")
    emptied = cuts.where("emptied").select(F.col("id").alias("duplicate_of"), F.lit(True).alias("of_emptied"))
    own = F.col("duplicate_in").isNull()
    joined = copies.join(cut, ["part", "id"], "full").join(emptied, "duplicate_of", "left")
    repeated = F.coalesce("emptied", F.lit(False)) | (F.coalesce("of_emptied", F.lit(False)) & own)
    decided = joined.withColumns(
        {
            "cluster": F.coalesce("cluster", "id"),
            "cluster_size": F.coalesce("cluster_size", F.lit(1)).cast("long"),
            "reason": F.when(repeated, F.lit(Reason.REPEATED.value)).otherwise(F.col("reason")),
            "duplicate_of": F.when(~repeated, F.col("duplicate_of")),
        }
    )
    return decided.drop("emptied", "of_emptied")

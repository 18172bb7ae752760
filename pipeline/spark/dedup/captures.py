"""Several captures of one page: the latest stays."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from core import storage
from pipeline.dedup.exact import url_hash
from pipeline.ledger import Reason
from pipeline.spark import tables
from pipeline.spark.dedup.parts import Parts, node, read_part

_CAPTURE = pa.schema(
    [
        ("url", pa.string()),
        ("fetched_at", pa.timestamp("us", tz="UTC")),
        ("id", pa.string()),
        ("part", pa.string()),
        ("node", pa.int64()),
    ]
)


def superseded(spark: SparkSession, parts: Parts, folder: str) -> DataFrame:
    """Return ``node``, ``id`` and ``part`` of the captures that are not the latest of their address.

    ``latest`` is the id of the one that is; one without a date never precedes one with a date, and the least
    id is preferred. ``folder`` holds the result.
    """
    captures = parts.records().mapInArrow(_read_captures, from_arrow_schema(_CAPTURE))
    order = Window.partitionBy("url").orderBy(F.col("fetched_at").desc_nulls_last(), "id")
    found = captures.select("node", "id", "part", F.first("id").over(order).alias("latest"))
    return tables.checkpoint(spark, found.where("id != latest"), folder)


def decisions(superseded: DataFrame, decided: DataFrame) -> DataFrame:
    """Return the decisions about superseded captures, as rows of the table of copies.

    Each names the document that stays: the latest capture, or the one that this is a duplicate of.
    """
    about = decided.select(
        F.col("id").alias("latest"),
        "cluster",
        "cluster_size",
        F.coalesce("duplicate_of", "id").alias("survivor"),
        "duplicate_in",
    )
    joined = superseded.join(about, "latest", "left")
    return joined.select(
        "part",
        "id",
        F.coalesce("cluster", "latest").alias("cluster"),
        F.coalesce("cluster_size", F.lit(1)).cast("long").alias("cluster_size"),
        F.lit(Reason.URL_DUPLICATE.value).alias("reason"),
        F.coalesce("survivor", "latest").alias("duplicate_of"),
        "duplicate_in",
        F.lit(None).cast("double").alias("similarity"),
    )


def _read_captures(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for part in (part for batch in batches for part in batch.to_pylist()):
        row = 0
        for batch in read_part(part["path"], ["id", "url", "fetched_at", "reason", "error"]):
            nodes = node(part["number"], np.arange(row, row + batch.num_rows))
            row += batch.num_rows
            urls = pa.array([url_hash(url or "") for url in batch["url"].to_pylist()], pa.string())
            columns = {
                "url": urls,
                "fetched_at": batch["fetched_at"],
                "id": batch["id"],
                "part": pa.array([storage.name(part["path"])] * len(urls), pa.string()),
                "node": pa.array(nodes),
            }
            captures = pa.RecordBatch.from_arrays(list(columns.values()), schema=_CAPTURE)
            kept = pc.and_(pc.and_(batch["reason"].is_null(), batch["error"].is_null()), urls.is_valid())
            yield captures.filter(kept)

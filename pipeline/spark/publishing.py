"""Publish a corpus: write its tables from the table of records and the decisions about duplicates and cuts.

Decisions are collected per file of the table of records, and one task reads that file once and writes it
accordingly, so that text never takes part in a shuffle. ``counting.py`` then counts what was published.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from core import storage
from pipeline import document, ledger
from pipeline.dedup.cuts import Span, cut
from pipeline.ledger import CUTS, LEDGER, Reason
from pipeline.spark import record_processing, tables
from pipeline.spark.dedup.parts import parts_of

TABLES = ("documents", LEDGER, "quarantine")
DUPLICATES, CUT_TABLE = "duplicates", "cuts"
ROWS_PER_FILE = 1 << 20
"""Maximum average number of rows in a file of the table of duplicates."""
CUT_FACTS = ("documents", "spans", "characters")
SPANS = "array<struct<start: long, end: long, reason: string>>"
"""Type of the column ``cuts`` of the decisions."""
Batches = Iterator[pa.RecordBatch]
Decisions = Mapping[str, Mapping[str, Any]]
"""Decisions about the documents of one file, by id: rows of the table of copies, with ``cuts``."""


def write_tables(
    spark: SparkSession,
    out: str,
    records: str,
    decisions: DataFrame,
    kept_columns: Sequence[str],
    *,
    with_documents: bool = True,
) -> None:
    """Write documents, ledger and quarantine from every file of the table in the folder ``records``."""
    if with_documents:
        schema = document.schema(kept_columns)
        document_columns = [name for name in schema.names if not name.startswith("cluster")]
        to_documents = partial(_to_documents, schema=schema)
        columns = [*document_columns, "reason", "error"]
        documents = map_parts(spark, records, decisions, to_documents, columns, schema)
        tables.write(documents, f"{out}/documents")
    columns = ["id", "source", "url", "reason", "value", "threshold", "sample", "error"]
    entries = map_parts(spark, records, decisions, _to_ledger, columns, ledger.schema())
    tables.write(entries, f"{out}/{LEDGER}")
    damaged = tables.read(spark, records, record_processing.schema()).where("error IS NOT NULL")
    tables.write(damaged.select("id", "source", "origin.*", "error"), f"{out}/quarantine")


def write_cuts(spark: SparkSession, out: str, records: str) -> dict[str, Any]:
    """Write the table of cuts with the origin of each document, if there is one, and return facts about it.

    These are documents, spans and characters by reason, also of passages that are only marked.
    """
    if not storage.exists(f"{out}/{CUTS}"):
        return {}
    cuts = tables.read(spark, f"{out}/{CUTS}", ledger.cuts_schema())
    origin = [document.schema().field(name) for name in ("id", "source", "url")]
    found = [field for field in ledger.cuts_schema() if field.name not in ("part", "id", "emptied")]
    published = pa.schema([*origin, *found])
    columns = ["id", "source", "url"]
    rows = map_parts(spark, records, cuts, partial(_with_origin, schema=published), columns, published)
    tables.write(rows, f"{out}/{CUT_TABLE}")
    spans = (
        cuts.select("id", F.explode("spans").alias("span"))
        .groupBy("span.reason")
        .agg(
            F.countDistinct("id").alias("documents"),
            F.count("*").alias("spans"),
            F.sum(F.col("span.end") - F.col("span.start")).alias("characters"),
        )
    )
    counted = {row["reason"]: {key: row[key] for key in CUT_FACTS} for row in spans.collect()}
    return {"cuts": dict(sorted(counted.items()))}


def write_duplicates(
    spark: SparkSession, out: str, records: str, decisions: DataFrame, kept_columns: Sequence[str]
) -> None:
    """Write the table of dropped duplicates, sorted by id.

    Its bytes depend on nothing but the decisions: documents are assigned to files by the first digits of
    their ids, in about :data:`ROWS_PER_FILE` rows each, and a file is written by one task.
    """
    schema = duplicates_schema(kept_columns)
    dropped = decisions.where("duplicate_of IS NOT NULL")
    columns = ["origin", *(name for name in ("id", "source", "url", "metadata") if name in schema.names)]
    rows = map_parts(spark, records, dropped, partial(_to_duplicates, schema=schema), columns, schema)
    digits, count = 0, dropped.count()
    while count > ROWS_PER_FILE * 16**digits:
        digits += 1
    file = F.conv(F.substring("id", 1, digits), 16, 10).cast("int") if digits else F.lit(0)
    ordered = rows.repartitionById(16**digits, file).sortWithinPartitions("id")
    storage.remove(f"{out}/{DUPLICATES}")
    write = partial(_write_file, folder=f"{out}/{DUPLICATES}", digits=digits, schema=schema)
    ordered.mapInArrow(write, "path string").count()


def duplicates_schema(kept: Sequence[str] = ()) -> pa.Schema:
    """Return the schema of the table of dropped duplicates. ``path`` and ``offset`` locate the raw record."""
    row = [field for field in document.schema(kept) if field.name in ("id", "source", "url", "metadata")]
    origin = [pa.field("path", pa.string()), pa.field("offset", pa.int64())]
    decision = [field for field in ledger.copies_schema() if field.name not in ("part", "id")]
    return pa.schema([*row, *origin, *decision])


def _parts_with_decisions(spark: SparkSession, folder: str, decisions: DataFrame) -> DataFrame:
    """A row and a task per file of the table of records: its path and the decisions about its documents."""
    parts = parts_of(spark, folder)
    decision = F.struct(*decisions.drop("part").columns)
    decided = decisions.groupBy("part").agg(F.collect_list(decision).alias("decisions"))
    named = parts.files.withColumn("part", F.element_at(F.split("path", "/"), -1))
    joined = named.join(decided, "part", "left")
    return joined.repartitionById(parts.count, F.col("number").cast("int")).select("path", "decisions")


def map_parts(
    spark: SparkSession,
    records: str,
    decisions: DataFrame,
    to_table: Callable[..., pa.Table],
    columns: list[str],
    schema: pa.Schema,
) -> DataFrame:
    """Apply ``to_table`` to every batch of the table in ``records`` and the decisions about its file."""
    run = partial(_map_part_files, to_table=to_table, columns=columns)
    return _parts_with_decisions(spark, records, decisions).mapInArrow(run, from_arrow_schema(schema))


def _map_part_files(batches: Batches, to_table: Callable[..., pa.Table], columns: list[str]) -> Batches:
    """Read each file in batches, with a column ``part``, and apply ``to_table``."""
    for batch in batches:
        for row in batch.to_pylist():
            decisions = {decision["id"]: decision for decision in row["decisions"] or ()}
            for rows in tables.read_batches(row["path"], columns):
                part = pa.repeat(storage.name(row["path"]), rows.num_rows)
                yield from to_table(rows.append_column("part", part), decisions).to_batches()


def _to_documents(rows: pa.RecordBatch, decisions: Decisions, schema: pa.Schema) -> pa.Table:
    """Keep the surviving rows, each with its cluster. A document without duplicates is its own cluster."""
    table = pa.Table.from_batches([rows])
    table = table.filter(pc.and_(pc.is_null(table["reason"]), pc.is_null(table["error"])))
    found = [decisions.get(each) for each in table["id"].to_pylist()]
    survives = pa.array([not (decision and decision["reason"]) for decision in found], pa.bool_())
    cluster = [
        decision["cluster"] if decision else own
        for decision, own in zip(found, table["id"].to_pylist(), strict=True)
    ]
    size = [decision["cluster_size"] if decision else 1 for decision in found]
    table = table.append_column("cluster", pa.array(cluster, pa.string()))
    table = table.append_column("cluster_size", pa.array(size, pa.int64()))
    table = table.filter(survives).select(schema.names)
    cuts = [
        decision and decision["cuts"]
        for decision, stays in zip(found, survives.to_pylist(), strict=True)
        if stays
    ]
    return _cut_texts(table, cuts) if any(cuts) else table


def _cut_texts(table: pa.Table, cuts: Sequence[Any]) -> pa.Table:
    """Cut the given spans out of the texts."""
    texts = [
        cut(text, [Span(span["start"], span["end"]) for span in spans]) if spans else text
        for text, spans in zip(table["text"].to_pylist(), cuts, strict=True)
    ]
    return table.set_column(table.schema.get_field_index("text"), "text", pa.array(texts, pa.string()))


def _to_ledger(rows: pa.RecordBatch, decisions: Decisions) -> pa.Table:
    """Make a ledger entry for every readable record, with the reason that dropped it."""
    rows = rows.filter(rows["error"].is_null())
    found = [decisions.get(each) for each in rows["id"].to_pylist()]
    reasons = [
        decision["reason"] if decision else own
        for decision, own in zip(found, rows["reason"].to_pylist(), strict=True)
    ]
    columns = {
        "stage": [reason and Reason(reason).stage for reason in reasons],
        "kept": [reason is None for reason in reasons],
        "reason": reasons,
        "duplicate_of": [each["duplicate_of"] if each else None for each in found],
        "duplicate_in": [each["duplicate_in"] if each else None for each in found],
        "cut_characters": [_cut_characters(each["cuts"]) if each else None for each in found],
    }
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else rows[field.name]
        for field in ledger.schema()
    ]
    return pa.Table.from_arrays(arrays, schema=ledger.schema())


def _with_origin(rows: pa.RecordBatch, cuts: Decisions, schema: pa.Schema) -> pa.Table:
    """Add the row of each document to what is cut from it."""
    found = [row | dict(cuts[row["id"]]) for row in rows.to_pylist() if row["id"] in cuts]
    return pa.Table.from_pylist(found, schema=schema)


def _cut_characters(spans: list[dict[str, Any]] | None) -> int | None:
    return sum(span["end"] - span["start"] for span in spans) if spans else None


def _to_duplicates(rows: pa.RecordBatch, decisions: Decisions, schema: pa.Schema) -> pa.Table:
    """Describe the rows that are dropped as duplicates."""
    found = [
        row | {"path": row["origin"]["path"], "offset": row["origin"]["offset"]} | decisions[row["id"]]
        for row in rows.to_pylist()
        if row["id"] in decisions
    ]
    return pa.Table.from_pylist(found, schema=schema)


def _write_file(batches: Batches, folder: str, digits: int, schema: pa.Schema) -> Batches:
    """Write the rows of one task to the file of their ids' first digits, and yield its path."""
    rows = pa.Table.from_batches(batches, schema)
    if rows.num_rows:
        name = rows["id"][0].as_py()[:digits]
        path = storage.join(folder, f"part-{int(name or '0', 16):05d}.parquet")
        sink = pa.BufferOutputStream()
        pq.write_table(rows.combine_chunks(), sink, compression="zstd")
        storage.write_atomic(path, sink.getvalue().to_pybytes())
        yield pa.RecordBatch.from_pylist([{"path": path}])

"""Publish a corpus: write its tables from the table of records and the decisions about duplicates.

Duplicates are collected per file of the table of records, and one task reads that file once and writes it
without its duplicates, so that text never takes part in a shuffle. What was published is then counted for the
manifest.
"""

from collections import Counter, defaultdict
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
from core.manifest import Manifest, Stage
from pipeline import document, ledger
from pipeline.filters import pii
from pipeline.ledger import ANALYSIS, LEDGER, Reason
from pipeline.spark import record_processing, tables

TABLES = ("documents", LEDGER, "quarantine")
DUPLICATES = "duplicates"
ROWS_PER_FILE = 1 << 20
"""Maximum average number of rows in a file of the table of duplicates."""
Batches = Iterator[pa.RecordBatch]


def write_tables(
    spark: SparkSession,
    out: str,
    records: str,
    copies: DataFrame,
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
        documents = map_parts(spark, records, copies, to_documents, columns, schema)
        tables.write(documents, f"{out}/documents")
    columns = ["id", "source", "url", "reason", "value", "threshold", "sample", "error"]
    entries = map_parts(spark, records, copies, _to_ledger, columns, ledger.schema())
    tables.write(entries, f"{out}/{LEDGER}")
    damaged = tables.read(spark, records, record_processing.schema()).where("error IS NOT NULL")
    tables.write(damaged.select("id", "source", "origin.*", "error"), f"{out}/quarantine")


def publish(
    spark: SparkSession,
    stage: Stage,
    records: str,
    copies: DataFrame,
    conditions: Sequence[Reason] = (),
    facts: Mapping[str, Any] | None = None,
) -> Manifest:
    """Count what was published and write the manifest.

    ``conditions``: the filters' conditions, for the funnel. ``facts`` are added to those of every corpus.
    """
    out = stage.folder
    counts, by_source, with_url = count_records(spark, out)
    return stage.publish(
        counts=counts | {"duplicate_clusters": copies.where("reason IS NULL AND cluster_size > 1").count()},
        files=[
            entry
            for table in stage.owned
            if table != ANALYSIS
            for entry in tables.file_entries(spark, out, table)
        ],
        facts={
            "by_source": by_source,
            "funnel": [step.model_dump() for step in ledger.funnel_steps(counts, with_url, conditions)],
            "corpus": corpus_hash(spark, records, copies),
            **(facts or {}),
        },
    )


def write_duplicates(
    spark: SparkSession, out: str, records: str, copies: DataFrame, kept_columns: Sequence[str]
) -> None:
    """Write the table of dropped duplicates, sorted by id.

    Its bytes depend on nothing but the decisions: documents are assigned to files by the first digits of
    their ids, in about :data:`ROWS_PER_FILE` rows each, and a file is written by one task.
    """
    schema = duplicates_schema(kept_columns)
    dropped = copies.where("reason IS NOT NULL")
    columns = [
        "origin",
        *(field.name for field in document.schema(kept_columns) if field.name in schema.names),
    ]
    columns = [name for name in columns if not name.startswith("cluster")]
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
    """Columns of the table of dropped duplicates; ``path`` and ``offset`` tell where the record is."""
    row = [field for field in document.schema(kept) if field.name in ("id", "source", "url", "metadata")]
    origin = [pa.field("path", pa.string()), pa.field("offset", pa.int64())]
    decision = [field for field in ledger.copies_schema() if field.name not in ("part", "id")]
    return pa.schema([*row, *origin, *decision])


def _parts_with_copies(spark: SparkSession, folder: str, copies: DataFrame) -> DataFrame:
    """One row per file of the table of records: its path and the rows of ``copies`` about its documents."""
    paths = tables.parquet_files(folder)
    columns = pa.schema([("path", pa.string()), ("part", pa.string())])
    parts = tables.parallelize(spark, [(path, storage.name(path)) for path in paths], columns, len(paths))
    decision = F.struct(*copies.drop("part").columns)
    decided = copies.groupBy("part").agg(F.collect_list(decision).alias("copies"))
    return parts.join(decided, "part", "left").repartitionByRange(len(paths), "path").select("path", "copies")


def map_parts(
    spark: SparkSession,
    records: str,
    copies: DataFrame,
    to_table: Callable[..., pa.Table],
    columns: list[str],
    schema: pa.Schema,
) -> DataFrame:
    """Apply ``to_table`` to every batch of the table in ``records``, and the copies in its file by id."""
    run = partial(_map_part_files, to_table=to_table, columns=columns)
    return _parts_with_copies(spark, records, copies).mapInArrow(run, from_arrow_schema(schema))


def _map_part_files(batches: Batches, to_table: Callable[..., pa.Table], columns: list[str]) -> Batches:
    """Read each file in batches and apply ``to_table`` to every batch and the file's copies by id."""
    for batch in batches:
        for row in batch.to_pylist():
            copies = {copy["id"]: copy for copy in row["copies"] or ()}
            with storage.open_read(row["path"]) as stream:
                for rows in pq.ParquetFile(stream).iter_batches(1024, columns=columns):
                    yield from to_table(rows, copies).to_batches()


def _to_documents(rows: pa.RecordBatch, copies: dict[str, dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Keep the surviving rows, each with its cluster. A document without duplicates is its own cluster."""
    table = pa.Table.from_batches([rows])
    table = table.filter(pc.and_(pc.is_null(table["reason"]), pc.is_null(table["error"])))
    decisions = [copies.get(each) for each in table["id"].to_pylist()]
    survives = pa.array([not (decision and decision["reason"]) for decision in decisions], pa.bool_())
    cluster = [
        decision["cluster"] if decision else own
        for decision, own in zip(decisions, table["id"].to_pylist(), strict=True)
    ]
    size = [decision["cluster_size"] if decision else 1 for decision in decisions]
    table = table.append_column("cluster", pa.array(cluster, pa.string()))
    table = table.append_column("cluster_size", pa.array(size, pa.int64()))
    return table.filter(survives).select(schema.names)


def _to_ledger(rows: pa.RecordBatch, copies: dict[str, dict[str, Any]]) -> pa.Table:
    """Make a ledger entry for every readable record, with the reason that dropped it."""
    rows = rows.filter(rows["error"].is_null())
    found = [copies.get(each) for each in rows["id"].to_pylist()]
    reasons = [
        copy["reason"] if copy else own for copy, own in zip(found, rows["reason"].to_pylist(), strict=True)
    ]
    columns = {
        "stage": [reason and Reason(reason).stage for reason in reasons],
        "kept": [reason is None for reason in reasons],
        "reason": reasons,
        "duplicate_of": [copy["duplicate_of"] if copy else None for copy in found],
    }
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else rows[field.name]
        for field in ledger.schema()
    ]
    return pa.Table.from_arrays(arrays, schema=ledger.schema())


def _to_duplicates(rows: pa.RecordBatch, copies: dict[str, dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Describe the rows that are dropped as duplicates."""
    found = [
        row | {"path": row["origin"]["path"], "offset": row["origin"]["offset"]} | copies[row["id"]]
        for row in rows.to_pylist()
        if row["id"] in copies
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


def corpus_hash(spark: SparkSession, records: str, copies: DataFrame) -> str:
    """Return a hash (32 hex digits) of the set of published (id, text, cluster), however it is stored.

    Two exclusive ors of 64-bit row hashes: independent of order, and no text is read.
    """
    table = tables.read(spark, records, record_processing.schema())
    kept = table.where("reason IS NULL AND error IS NULL").select("id", "text_hash")
    joined = kept.join(copies.select("id", "cluster", F.col("reason").alias("dropped")), "id", "left")
    row = [F.col("id"), F.col("text_hash"), F.coalesce("cluster", "id")]
    halves = [F.hex(F.bit_xor(F.xxhash64(F.lit(seed), *row))) for seed in (0, 1)]
    found = joined.where("dropped IS NULL").agg(*halves).first()
    return "".join((half or "0").rjust(16, "0") for half in found or ()).lower()

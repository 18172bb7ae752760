"""Clean raw records: files to documents, ledger and quarantine.

1. List the input files, detect their formats and cut them into splits; or select records by an index.
2. Process every record in one pass over text: read, extract, measure, filter, mask, hash
   (``record_processing.py``).
3. Find duplicate clusters by the hashes (``clusters.py``).
4. Write the published tables. Duplicates are collected per file of step 2, and one task reads that file once
   and writes it without its duplicates, so that text never takes part in a shuffle.
5. Count the published records and publish the manifest.

Steps 2 and 3 write their tables to ``analysis/`` with a mark when finished. An interrupted run resumes there,
and the report reads every record's metrics there. It is removed at the end if ``output.keep_analysis`` is
false.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from core import storage
from core.config import Config, resolved
from core.manifest import Manifest, Stage, check_output, fingerprint
from pipeline import document, ledger
from pipeline.filters import pii
from pipeline.filters import resolved as resolved_filters
from pipeline.filters.recipe import FILE_SETTINGS
from pipeline.filters.recipe import validate as validate_filters
from pipeline.ledger import ANALYSIS, COPIES, LEDGER, RECORDS, Reason
from pipeline.readers.record import InputSplit
from pipeline.spark import clusters, record_processing, tables
from pipeline.spark.inputs import Inputs, plan_inputs
from pipeline.spark.inputs import validate as validate_inputs

STAGE = "clean"
TABLES = ("documents", LEDGER, "quarantine")
Batches = Iterator[pa.RecordBatch]


def validate(config: Config) -> None:
    """Raise an error for what :func:`clean` would reject. Needs no Spark and accesses no remote files."""
    check_output(config)
    validate_inputs(config.input)
    validate_filters(config.filters)
    if all(storage.is_local(getattr(config.filters, key)) for key in FILE_SETTINGS):
        _stage(config).check()


def clean(spark: SparkSession, config: Config) -> Manifest:
    """Run the stage in ``config.output.path`` and return its manifest. Does nothing if it is already done."""
    check_output(config)
    storage.exists(storage.absolute(config.output.path))  # fails early if its server cannot be used
    inputs = plan_inputs(spark, config.input)
    stage = _stage(config, inputs)
    out, settings = stage.folder, stage.config
    if done := stage.begin():
        _remove_analysis(config)
        return done

    title = f"{STAGE}: reading {inputs.title}"
    tables.write_once(f"{out}/{RECORDS}", partial(_process_records, config, inputs.splits), title)
    schema = record_processing.schema(config.input.keep_columns)
    records = tables.read(spark, f"{out}/{RECORDS}", schema)

    title = f"{STAGE}: finding copies"
    tables.write_once(f"{out}/{COPIES}", partial(_find_duplicates, spark, config, records), title)
    copies = tables.read(spark, f"{out}/{COPIES}", clusters.schema())

    with tables.timed(f"{out}/documents", f"{STAGE}: publishing documents, ledger, quarantine"):
        _write_tables(spark, out, records, copies, config.input.keep_columns)

    counts, by_source, with_url = count_records(spark, out)
    conditions = [Reason(name) for name in settings["filters"]["thresholds"]]
    if config.filters.languages:
        conditions.insert(0, Reason.LANGUAGE_UNWANTED)
    funnel = [step.model_dump() for step in ledger.funnel_steps(counts, with_url, conditions)]
    made = stage.publish(
        counts=counts | {"duplicate_clusters": copies.select("cluster").distinct().count()},
        files=[entry for table in TABLES for entry in tables.file_entries(spark, out, table)],
        facts={
            "by_source": by_source,
            "funnel": funnel,
            "corpus": corpus_hash(records, copies),
            "personal_data": {
                "masked": settings["filters"]["mask_pii"],
                "in_documents": count_personal_data(spark, out),
            },
            "edits": count_edits(spark, out),
        },
    )
    _remove_analysis(config)
    return made


def _remove_analysis(config: Config) -> None:
    """Remove the tables of steps 2 and 3 if the configuration says so."""
    if not config.output.keep_analysis:
        storage.remove(storage.join(storage.absolute(config.output.path), ANALYSIS))


def _stage(config: Config, inputs: Inputs | None = None) -> Stage:
    settings = resolved(config, "input", "extraction", "filters", "dedup", "ledger")
    settings["filters"] |= resolved_filters(config.filters)
    files = inputs.files if inputs else []
    versions = (f"{file.path} {file.size} {file.version}" for file in files)
    return Stage(
        STAGE,
        storage.absolute(config.output.path),
        fingerprint(STAGE, settings, versions),
        settings,
        [file.path for file in files],
        inputs.skipped if inputs else {},
        owned=(*TABLES, ANALYSIS),
        overwrite=config.output.overwrite,
    )


def _process_records(config: Config, splits: DataFrame, folder: str) -> None:
    def run(batches: Batches) -> Batches:
        rows = (InputSplit(**row) for batch in batches for row in batch.to_pylist())
        return record_processing.process_splits(rows, config)

    schema = record_processing.schema(config.input.keep_columns)
    tables.write(splits.mapInArrow(run, from_arrow_schema(schema)), folder)


def _find_duplicates(spark: SparkSession, config: Config, records: DataFrame, folder: str) -> None:
    rounds = f"{folder}.rounds"
    tables.write(clusters.find_clusters(spark, records, config.dedup, rounds), folder)
    storage.remove(rounds)


def _write_tables(
    spark: SparkSession, out: str, records: DataFrame, copies: DataFrame, kept_columns: Sequence[str]
) -> None:
    """Write documents and ledger from every file of the table of records, and the quarantine."""
    parts = _parts_with_copies(spark, f"{out}/{RECORDS}", copies).cache()

    def map_parts(to_table: Callable[..., pa.Table], columns: list[str], schema: pa.Schema) -> DataFrame:
        run = partial(_map_part_files, to_table=to_table, columns=columns)
        return parts.mapInArrow(run, from_arrow_schema(schema))

    schema = document.schema(kept_columns)
    document_columns = [name for name in schema.names if not name.startswith("cluster")]
    ledger_columns = ["id", "source", "url", "reason", "value", "threshold", "sample", "error"]
    to_documents = partial(_to_documents, schema=schema)
    documents = map_parts(to_documents, [*document_columns, "reason", "error"], schema)
    tables.write(documents, f"{out}/documents")
    tables.write(map_parts(_to_ledger, ledger_columns, ledger.schema()), f"{out}/{LEDGER}")
    damaged = records.where("error IS NOT NULL").select("id", "source", "origin.*", "error")
    tables.write(damaged, f"{out}/quarantine")
    parts.unpersist()


def _parts_with_copies(spark: SparkSession, folder: str, copies: DataFrame) -> DataFrame:
    """One row per file of the table of records: its path and the rows of ``copies`` about its documents."""
    paths = tables.parquet_files(folder)
    columns = pa.schema([("path", pa.string()), ("part", pa.string())])
    parts = tables.parallelize(spark, [(path, storage.name(path)) for path in paths], columns, len(paths))
    decision = F.struct(*copies.drop("part").columns)
    decided = copies.groupBy("part").agg(F.collect_list(decision).alias("copies"))
    return parts.join(decided, "part", "left").repartitionByRange(len(paths), "path").select("path", "copies")


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
    entries = []
    for row in rows.to_pylist():
        if row.pop("error") is not None:
            continue
        copy = copies.get(row["id"])
        reason = copy["reason"] if copy else row["reason"]
        entries.append(
            row
            | {
                "stage": Reason(reason).stage if reason else None,
                "kept": reason is None,
                "reason": reason,
                "duplicate_of": copy["duplicate_of"] if copy else None,
            }
        )
    return pa.Table.from_pylist(entries, schema=ledger.schema())


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


def corpus_hash(records: DataFrame, copies: DataFrame) -> str:
    """Return a hash (32 hex digits) of the set of published (id, text, cluster), however it is stored.

    Two exclusive ors of 64-bit row hashes: independent of order, and no text is read.
    """
    kept = records.where("reason IS NULL AND error IS NULL").select("id", "text_hash")
    joined = kept.join(copies.select("id", "cluster", F.col("reason").alias("dropped")), "id", "left")
    row = [F.col("id"), F.col("text_hash"), F.coalesce("cluster", "id")]
    halves = [F.hex(F.bit_xor(F.xxhash64(F.lit(seed), *row))) for seed in (0, 1)]
    found = joined.where("dropped IS NULL").agg(*halves).first()
    return "".join((half or "0").rjust(16, "0") for half in found or ()).lower()

"""Check a corpus before its manifest is written.

Rows are counted in Parquet footers, and ids are compared by Spark; neither reads a text, and the driver
collects a few numbers. A mismatch is the work of a second driver, of what an earlier attempt left, or of a
storage that lost a file.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from core.errors import OutputError
from core.manifest import FileEntry
from core.stage import Stage
from pipeline import document, ledger
from pipeline.ledger import ANALYSIS, COPIES, CUTS, LEDGER, RECORDS
from pipeline.spark import record_processing, tables

REMEDY = "nothing is published; run it again"


def check_corpus(
    spark: SparkSession, stage: Stage, records: str, counts: Mapping[str, int], files: Sequence[FileEntry]
) -> None:
    """Raise :class:`OutputError` unless the tables of a corpus belong together.

    ``records``: folder of the table of records. ``counts``: those of
    :func:`pipeline.spark.counting.count_records`. ``files``: all that are to be published. After an error
    about the intermediate tables, the next run makes them again.
    """
    out = stage.folder
    for table in (RECORDS, COPIES, CUTS):
        problem = tables.several_jobs(tables.parquet_files(f"{out}/{table}"), by_folder=table == RECORDS)
        if not problem and tables.is_changed(f"{out}/{table}"):
            problem = "its files are not those that were written; they were lost or doubled"
        if problem:
            stage.remove(ANALYSIS)
            raise OutputError(f"{out}/{table}: {problem}; {REMEDY}")
    rows = dict.fromkeys(stage.owned, 0)
    for table in rows:
        own = [file for file in files if file.path.startswith(f"{table}/")]
        rows[table] = sum(file.rows for file in own)
        if problem := tables.several_jobs([f"{out}/{file.path}" for file in own]):
            raise OutputError(f"{out}/{table}: {problem}; {REMEDY}")
    read = tables.read(spark, records, record_processing.schema()).count()
    has_documents = stage.config["dedup"]["output"] == "documents"
    recorded = rows[LEDGER] + rows["quarantine"]
    if recorded != read:
        stage.remove(ANALYSIS)  # which of the tables is wrong is not known
    _compare(f"{out}/{LEDGER}", recorded, read, "records were read")
    _compare(f"{out}/{LEDGER}", recorded, counts["records_in"], "rows were counted")
    if has_documents:
        _compare(f"{out}/documents", rows["documents"], counts["kept"], "records are kept by the ledger")
    _check_ids(spark, stage, has_documents=has_documents)


def check_one_job(folder: str, files: Sequence[FileEntry]) -> None:
    """Raise :class:`OutputError` if several Spark jobs wrote the files, which are in ``folder``."""
    if problem := tables.several_jobs([f"{folder}/{file.path}" for file in files]):
        raise OutputError(f"{folder}: {problem}; {REMEDY}")


def _compare(folder: str, rows: int, expected: int, description: str) -> None:
    if rows != expected:
        raise OutputError(
            f"{folder}: the table has {rows:,} rows, but {expected:,} {description}; files were lost or "
            f"doubled; {REMEDY}"
        )


def _check_ids(spark: SparkSession, stage: Stage, *, has_documents: bool) -> None:
    """Check that ids are distinct in the ledger, and that the documents are those that it keeps."""
    entries = tables.read(spark, f"{stage.folder}/{LEDGER}", ledger.schema())
    binary = entries.select(F.unhex("id").alias("id"), "kept")  # half as much to shuffle
    by_id = binary.groupBy("id").agg(F.count("*").alias("rows"), F.bool_or("kept").alias("kept"))
    kept = _digest(F.col("kept"))
    example = F.lower(F.hex(F.max_by("id", "rows")))
    most, example_id, *expected = _first(by_id.agg(F.coalesce(F.max("rows"), F.lit(0)), example, *kept))
    if most > 1:
        stage.remove(ANALYSIS)
        raise OutputError(
            f"{stage.folder}/{LEDGER}: the id {example_id} is in {most} rows, but ids are unique; records "
            f"were read twice; {REMEDY}"
        )
    if has_documents:
        documents = tables.read(spark, f"{stage.folder}/documents", document.schema())
        found = documents.select(F.unhex("id").alias("id")).agg(*_digest(F.lit(True)))
        if list(_first(found)) != expected:
            raise OutputError(
                f"{stage.folder}/documents: the ids are not those that the ledger keeps; files were lost or "
                f"doubled; {REMEDY}"
            )


def _digest(chosen: Column) -> tuple[Column, Column]:
    """Return two aggregates that are equal for equal sets of chosen ids, null for none."""
    hashes = [F.when(chosen, F.xxhash64(F.lit(seed), "id")) for seed in (0, 1)]
    return F.bit_xor(hashes[0]), F.sum(hashes[1].cast("decimal(38,0)"))


def _first(table: DataFrame) -> tuple[Any, ...]:
    """Return the only row of an aggregation."""
    (row,) = table.collect()
    return tuple(row)

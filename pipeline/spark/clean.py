"""Raw records to documents, ledger and quarantine.

1. Files are listed and recognised, and cut into splits; or an index says which records of them to read.
2. One pass over text: read, extract, measure, judge, mask, hash (``record_processing.py``).
3. Duplicate clusters from the hashes (``clusters.py``).
4. Tables are published. The members of a cluster are gathered per file of step 2, and one task reads that
   file once and writes it without its duplicates, so that text never takes part in a shuffle.

Steps 2 and 3 leave their tables in ``analysis/`` with a mark when done: a run cut short goes on from there,
and the report reads every record's metrics there.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from core import storage
from core.config import Config, require, resolved
from core.manifest import Manifest, Stage, fingerprint
from pipeline import document, ledger
from pipeline.filters import resolved as resolved_filters
from pipeline.filters.recipe import validate as validate_filters
from pipeline.ledger import COPIES, LEDGER, RECORDS, Reason
from pipeline.readers.record import InputSplit
from pipeline.spark import clusters, record_processing, tables
from pipeline.spark.inputs import plan_inputs
from pipeline.spark.inputs import validate as validate_inputs

STAGE = "clean"
TABLES = ("documents", LEDGER, "quarantine")
Batches = Iterator[pa.RecordBatch]


def validate(config: Config) -> None:
    """Raise an error for a configuration that :func:`clean` would reject; needs neither Spark nor remote files."""
    require(config, "output.path")
    validate_inputs(config.input)
    validate_filters(config.filters)


def clean(spark: SparkSession, config: Config) -> Manifest:
    """Run the plan into ``config.output.path``; the manifest of what stands there, done now or before."""
    require(config, "output.path")
    out = storage.absolute(config.output.path)
    settings = resolved(config, "input", "extraction", "filters", "dedup", "ledger")
    settings["filters"] |= resolved_filters(config.filters)
    inputs = plan_inputs(spark, config.input)
    files = (f"{file.path} {file.size} {file.version}" for file in inputs.files)
    stage = Stage(
        STAGE,
        out,
        fingerprint(STAGE, settings, files),
        settings,
        [file.path for file in inputs.files],
        owned=(*TABLES, "analysis"),
        overwrite=config.output.overwrite,
    )
    if done := stage.begin():
        return done

    title = f"{STAGE}: reading {inputs.title}"
    tables.write_once(f"{out}/{RECORDS}", partial(_analyse, config, inputs.splits), title)
    analysed = tables.read(spark, f"{out}/{RECORDS}", record_processing.schema())
    tables.write_once(f"{out}/{COPIES}", partial(_cluster, spark, config, analysed), f"{STAGE}: finding copies")
    copies = tables.read(spark, f"{out}/{COPIES}", clusters.schema())
    with tables.timed(f"{out}/documents", f"{STAGE}: publishing documents, ledger, quarantine"):
        _publish(spark, out, analysed, copies)

    counts, by_source, addressed = count(spark, out)
    conditions = [Reason(name) for name in settings["filters"]["thresholds"]]
    if config.filters.languages:
        conditions.insert(0, Reason.LANGUAGE_UNWANTED)
    funnel = [step.model_dump() for step in ledger.funnel_steps(counts, addressed, conditions)]
    return stage.publish(
        counts=counts | {"duplicate_clusters": copies.select("cluster").distinct().count()},
        files=[entry for table in TABLES for entry in tables.file_entries(spark, out, table)],
        facts={"by_source": by_source, "funnel": funnel, "corpus": corpus_hash(analysed, copies)},
    )


def _analyse(config: Config, splits: DataFrame, folder: str) -> None:
    def run(batches: Batches) -> Batches:
        pieces = (InputSplit(**row) for batch in batches for row in batch.to_pylist())
        return record_processing.process_splits(pieces, config)

    tables.write(splits.mapInArrow(run, from_arrow_schema(record_processing.schema())), folder)


def _cluster(spark: SparkSession, config: Config, analysed: DataFrame, folder: str) -> None:
    rounds = f"{folder}.rounds"
    tables.write(clusters.find_clusters(spark, analysed, config.dedup, rounds), folder)
    storage.remove(rounds)


def _publish(spark: SparkSession, out: str, analysed: DataFrame, copies: DataFrame) -> None:
    parts = _parts_with_copies(spark, f"{out}/{RECORDS}", copies).cache()

    def per_part(rows_of: Callable[..., pa.Table], columns: list[str], schema: pa.Schema) -> DataFrame:
        run = partial(_over_parts, rows_of=rows_of, columns=columns)
        return parts.mapInArrow(run, from_arrow_schema(schema))

    of_document = [name for name in document.schema().names if not name.startswith("cluster")]
    of_ledger = ["id", "source", "url", "reason", "value", "threshold", "sample", "error"]
    documents = per_part(_documents, [*of_document, "reason", "error"], document.schema())
    tables.write(documents, f"{out}/documents", partition_by=["source"])
    tables.write(per_part(_ledger, of_ledger, ledger.schema()), f"{out}/{LEDGER}")
    damaged = analysed.where("error IS NOT NULL").select("id", "source", "origin.*", "error")
    tables.write(damaged, f"{out}/quarantine")
    parts.unpersist()


def _parts_with_copies(spark: SparkSession, folder: str, copies: DataFrame) -> DataFrame:
    """One row per file of the one pass: its path and what was decided about the copies in it."""
    paths = tables.parquet_files(folder)
    columns = pa.schema([("path", pa.string()), ("part", pa.string())])
    parts = tables.parallelize(spark, [(path, storage.name(path)) for path in paths], columns, len(paths))
    decision = F.struct(*copies.drop("part").columns)
    decided = copies.groupBy("part").agg(F.collect_list(decision).alias("copies"))
    return parts.join(decided, "part", "left").repartitionByRange(len(paths), "path").select("path", "copies")


def _over_parts(batches: Batches, rows_of: Callable[..., pa.Table], columns: list[str]) -> Batches:
    """Read each part's file in batches and hand every batch with the part's decisions to ``rows_of``."""
    for batch in batches:
        for row in batch.to_pylist():
            copies = {copy["id"]: copy for copy in row["copies"] or ()}
            with storage.open_read(row["path"]) as stream:
                for rows in pq.ParquetFile(stream).iter_batches(1024, columns=columns):
                    yield from rows_of(rows, copies).to_batches()


def _documents(rows: pa.RecordBatch, copies: dict[str, dict[str, Any]]) -> pa.Table:
    """The rows that stay, each with its cluster."""
    table = pa.Table.from_batches([rows])
    table = table.filter(pc.and_(pc.is_null(table["reason"]), pc.is_null(table["error"])))
    decisions = [copies.get(each) for each in table["id"].to_pylist()]
    stays = pa.array([decision is None or decision["reason"] is None for decision in decisions], pa.bool_())
    cluster = [
        decision["cluster"] if decision else own
        for decision, own in zip(decisions, table["id"].to_pylist(), strict=True)
    ]
    size = [decision["cluster_size"] if decision else 1 for decision in decisions]
    table = table.append_column("cluster", pa.array(cluster, pa.string()))
    table = table.append_column("cluster_size", pa.array(size, pa.int64()))
    return table.filter(stays).select(document.schema().names)


def _ledger(rows: pa.RecordBatch, copies: dict[str, dict[str, Any]]) -> pa.Table:
    """Every row that could be read, with the reason that decided about it."""
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


def count(spark: SparkSession, out: str) -> tuple[dict[str, int], dict[str, dict[str, int]], int]:
    """Records in, kept, dropped by reason, quarantined, counted in what was published: in all, by source.

    And how many had an address for the filters to look at.
    """
    entries = tables.read(spark, f"{out}/{LEDGER}", ledger.schema())
    has_address = F.coalesce(F.col("url"), F.lit("")) != ""
    lines = entries.groupBy("source", "reason", has_address.alias("has_address")).count().collect()
    damaged = tables.read(spark, f"{out}/quarantine", ledger.quarantine_schema()).groupBy("source").count()
    in_all: Counter[str] = Counter(records_in=0, kept=0, dropped=0, quarantined=0)
    by_source: dict[str, Counter[str]] = defaultdict(Counter)
    lost = [(row["source"], "quarantined", False, row["count"]) for row in damaged.collect()]
    addressed = 0
    for source, reason, address, number in [*lines, *lost]:
        keys = ["records_in"]
        if reason is None or reason == "quarantined":
            keys.append(reason or "kept")
        else:
            keys += ["dropped", f"dropped.{reason}"]
        for key in keys:
            in_all[key] += number
            by_source[source][key] += number
        if address and not (reason or "").startswith("read."):
            addressed += number
    ordered = {source: dict(sorted(counts.items())) for source, counts in sorted(by_source.items())}
    return dict(sorted(in_all.items())), ordered, addressed


def corpus_hash(analysed: DataFrame, copies: DataFrame) -> str:
    """32 hex digits of the set of published (id, text, cluster), whatever files they lie in.

    The exclusive or of 64-bit hashes, twice: free of order, and no text is read.
    """
    kept = analysed.where("reason IS NULL AND error IS NULL").select("id", "text_hash")
    placed = kept.join(copies.select("id", "cluster", F.col("reason").alias("dropped")), "id", "left")
    row = [F.col("id"), F.col("text_hash"), F.coalesce("cluster", "id")]
    halves = [F.hex(F.bit_xor(F.xxhash64(F.lit(seed), *row))) for seed in (0, 1)]
    found = placed.where("dropped IS NULL").agg(*halves).first()
    return "".join((half or "0").rjust(16, "0") for half in found or ()).lower()

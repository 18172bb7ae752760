"""Clean raw records: files to documents, ledger and quarantine.

1. List the input files, detect their formats and cut them into splits; or select records by an index.
2. Process every record in one pass over text: read, extract, measure, filter, mask, search for evaluation
   items, compute signatures (``record_processing.py``).
3. Find duplicates (``dedup/clusters.py``), and repeated text if configured (``dedup/repeated_text.py``).
4. Write the published tables (``publishing.py``), count their records and publish the manifest
   (``counting.py``).

Steps 2 and 3 write their tables to ``analysis/`` with a mark when finished; step 2 in portions, each with a
mark. An interrupted run resumes there, and the report reads every record's metrics there. The folder is
removed at the end if ``output.keep_analysis`` is false.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from core import storage
from core.config import Config, DedupConfig, resolved
from core.errors import ConfigError
from core.manifest import Manifest, fingerprint
from core.stage import Stage, check_output, read_paths
from pipeline.decontamination import EvaluationIndex, load_index
from pipeline.dedup.parameters import validate as validate_dedup
from pipeline.filters import resolved as resolved_filters
from pipeline.filters.recipe import FILE_SETTINGS
from pipeline.filters.recipe import validate as validate_filters
from pipeline.ledger import ANALYSIS, COPIES, RECORDS, Reason
from pipeline.readers.record import InputSplit
from pipeline.spark import contamination, counting, publishing, record_processing, tables
from pipeline.spark.dedup.clusters import find_copies
from pipeline.spark.dedup.repeated_text import find_repeated_text
from pipeline.spark.dedup.signature_index import SignatureIndex, check_local_index, open_index
from pipeline.spark.inputs import Inputs, plan_inputs
from pipeline.spark.inputs import validate as validate_inputs
from pipeline.spark.steps import named, recorded, step

STAGE = "clean"
Batches = Iterator[pa.RecordBatch]


def validate(config: Config) -> None:
    """Raise an error for what :func:`clean` would reject. Needs no Spark and accesses no remote files."""
    check_output(config)
    validate_inputs(config.input)
    validate_filters(config.filters)
    has_quality = bool(config.input.columns.quality or config.filters.quality_model)
    validate_dedup(config.dedup, has_quality=has_quality)
    for key in ("output", "run"):
        if (value := getattr(config.dedup, key)) != DedupConfig.model_fields[key].default:
            raise ConfigError(
                f"dedup.{key} = {value}: clean always reads raw records and writes documents; remove the "
                "setting, or run jobs/dedup.py"
            )
    contamination.validate(config)
    check_local_index(config.dedup)
    if all(storage.is_local(getattr(config.filters, key)) for key in FILE_SETTINGS):
        _stage(config).check()


def clean(spark: SparkSession, config: Config) -> Manifest:
    """Run the stage in ``config.output.path`` and return its manifest. Does nothing if it is already done."""
    check_output(config)
    storage.exists(storage.absolute(config.output.path))  # fails early if its server cannot be used
    with named(f"{STAGE}: listing inputs"):
        inputs = plan_inputs(spark, config.input)
        index, signatures = load_index(config.decontamination), open_index(spark, config)
    contents = [index.content] if index else []
    contents += [signatures.content(storage.absolute(config.output.path))] if signatures else []
    stage = _stage(config, inputs, contents)
    with stage.claim() as done:
        if done:
            made = done
        else:
            with recorded(stage, sum(file.size or 0 for file in inputs.files)):
                made = _make(spark, config, stage, inputs, index, signatures)
        _remove_analysis(config)
    return made


def _make(
    spark: SparkSession,
    config: Config,
    stage: Stage,
    inputs: Inputs,
    index: EvaluationIndex | None,
    signatures: SignatureIndex | None,
) -> Manifest:
    """Write all tables to the claimed folder and publish them."""
    out, settings = stage.folder, stage.config
    title = f"{STAGE}: reading {inputs.title}"
    tables.write_once(f"{out}/{RECORDS}", partial(_process_records, spark, config, inputs, index), title)
    copies = find_copies(spark, config, f"{out}/{RECORDS}", f"{out}/{COPIES}", STAGE, signatures)
    decisions = find_repeated_text(spark, config, out, f"{out}/{RECORDS}", copies, STAGE)

    with tables.timed(f"{out}/documents", f"{STAGE}: publishing documents, ledger, quarantine"):
        publishing.write_tables(spark, out, f"{out}/{RECORDS}", decisions, config.input.keep_columns)

    conditions = [Reason(name) for name in settings["filters"]["thresholds"]]
    if config.filters.languages:
        conditions.insert(0, Reason.LANGUAGE_UNWANTED)
    with step("counts", f"{STAGE}: counting documents, hashing files"):
        personal_data = {
            "masked": settings["filters"]["mask_pii"],
            "in_documents": counting.count_personal_data(spark, out),
        }
        facts: dict[str, Any] = {"personal_data": personal_data, "edits": counting.count_edits(spark, out)}
        facts |= publishing.write_cuts(spark, out, f"{out}/{RECORDS}")
        facts |= {"index": signatures.corpora} if signatures else {}
        facts |= contamination.publish(spark, out, f"{out}/{RECORDS}", index, config)
        return counting.publish(spark, stage, f"{out}/{RECORDS}", decisions, conditions, facts)


def _remove_analysis(config: Config) -> None:
    """Remove the tables of steps 2 and 3 if the configuration says so."""
    if not config.output.keep_analysis:
        storage.remove(storage.join(storage.absolute(config.output.path), ANALYSIS))


def _stage(config: Config, inputs: Inputs | None = None, contents: Sequence[str] = ()) -> Stage:
    settings = resolved(config, "input", "extraction", "filters", "decontamination", "dedup", "ledger")
    settings["filters"] |= resolved_filters(config.filters)
    files = inputs.files if inputs else []
    versions = [f"{file.path} {file.size} {file.version}" for file in files]
    versions += contents
    return Stage(
        STAGE,
        storage.absolute(config.output.path),
        fingerprint(STAGE, settings, versions),
        settings,
        [file.path for file in files],
        inputs.skipped if inputs else {},
        owned=(*publishing.TABLES, publishing.CUT_TABLE, contamination.TABLE, ANALYSIS),
        reads=read_paths(config),
        overwrite=config.output.overwrite,
    )


def _process_records(
    spark: SparkSession, config: Config, inputs: Inputs, index: EvaluationIndex | None, folder: str
) -> None:
    shared = spark.sparkContext.broadcast(index)

    def run(batches: Batches) -> Batches:
        rows = (InputSplit(**row) for batch in batches for row in batch.to_pylist())
        return record_processing.process_splits(rows, config, shared.value)

    schema = from_arrow_schema(record_processing.schema(config.input.keep_columns))
    tables.write_portions(folder, inputs.portions, lambda splits: splits.mapInArrow(run, schema))

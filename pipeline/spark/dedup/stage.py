"""Deduplicate a corpus of texts on its own: Parquet or JSON lines, or a finished run, decided about again.

1. Read the texts and compute their signatures, in one pass (``record_processing.py``). A finished run has
   them already, unless other parameters are asked for.
2. Find the duplicates (``clusters.py``), and write the table of those that are dropped.
3. Unless only that table is wanted, write documents, ledger and quarantine (``publishing.py``).
"""

from collections.abc import Iterator, Sequence
from functools import partial
from operator import attrgetter

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from core import manifest, storage
from core.config import Config, DedupConfig, parse, resolved
from core.errors import ConfigError, InputError, MismatchError
from core.manifest import Manifest, fingerprint
from core.stage import Stage, check_output, read_paths
from pipeline.decontamination import EvaluationIndex, load_index
from pipeline.dedup.parameters import parameters
from pipeline.dedup.parameters import validate as validate_dedup
from pipeline.ledger import ANALYSIS, COPIES, RECORDS
from pipeline.ledger.tables import records_folder
from pipeline.readers.record import InputSplit
from pipeline.spark import contamination, counting, publishing, record_processing, tables
from pipeline.spark.dedup.clusters import find_copies
from pipeline.spark.dedup.parts import parts_of, read_part
from pipeline.spark.dedup.repeated_text import find_repeated_text
from pipeline.spark.dedup.signature_index import SignatureIndex, check_local_index, open_index
from pipeline.spark.inputs import Inputs, plan_inputs
from pipeline.spark.inputs import validate as validate_inputs
from pipeline.spark.steps import named, recorded, step

STAGE = "dedup"
TABLE_FORMATS = ("jsonl", "parquet")
OUTPUTS = (*publishing.TABLES, publishing.DUPLICATES, publishing.CUT_TABLE, contamination.TABLE, ANALYSIS)
"""Entries of the output folder, apart from the manifest."""
Batches = Iterator[pa.RecordBatch]


def validate(config: Config) -> None:
    """Raise an error for what :func:`dedup` would reject. Needs no Spark and accesses no remote files."""
    check_output(config)
    validate_dedup(config.dedup, has_quality=bool(config.input.columns.quality or config.dedup.run))
    _refuse_cuts_without_documents(config)
    if not config.dedup.run:
        validate_inputs(config.input)
    elif config.input.paths or config.input.index.path:
        raise ConfigError(
            f"dedup.run = {config.dedup.run}: is decided about instead of input.paths or input.index; set one"
        )
    elif storage.absolute(config.dedup.run) == storage.absolute(config.output.path):
        raise ConfigError(
            f"dedup.run = {config.dedup.run}: would be replaced by the output; name another output.path"
        )
    elif config.decontamination.paths:
        raise ConfigError(
            f"decontamination.paths = {config.decontamination.paths[0]}: texts are searched while they are "
            "read, but dedup.run reads none; set input.paths to the documents of the run"
        )
    contamination.validate(config)
    check_local_index(config.dedup)
    if not config.dedup.run:
        _stage(config).check()


def _refuse_cuts_without_documents(config: Config) -> None:
    if config.dedup.output != "duplicates":
        return
    for key in ("lines.min_documents", "substrings.min_words"):
        if value := attrgetter(key)(config.dedup):
            raise ConfigError(
                f"dedup.{key} = {value}: searches stored texts, but dedup.output = duplicates stores none; "
                f"set dedup.output=documents or dedup.{key}=0"
            )
    if config.decontamination.paths and config.decontamination.action == "cut":
        raise ConfigError(
            "decontamination.action = cut: changes texts, but dedup.output = duplicates stores none; set "
            "dedup.output=documents, or decontamination.action=drop or mark"
        )


def dedup(spark: SparkSession, config: Config) -> Manifest:
    """Run the stage in ``config.output.path`` and return its manifest. Does nothing if it is already done.

    Raises :class:`InputError` for inputs that are not tables of texts.
    """
    validate(config)
    with named(f"{STAGE}: listing inputs"):
        inputs = None if config.dedup.run else _plan_tables(spark, config)
    base = _run(config) if config.dedup.run else None
    if base:
        config = _with_columns_of(base, config)
    with named(f"{STAGE}: checking the signature index"):
        index, signatures = load_index(config.decontamination), open_index(spark, config)
    if base and signatures and base.facts["corpus"] in signatures.corpora:
        raise MismatchError(
            f"dedup.index = {config.dedup.index}: holds the documents of dedup.run = {config.dedup.run}, "
            "which would all be duplicates of themselves; leave the index out"
        )
    contents = [index.content] if index else []
    contents += [signatures.content(storage.absolute(config.output.path))] if signatures else []
    stage = _stage(config, inputs, contents, base)
    with stage.claim() as done:
        if done:
            return done
        with recorded(stage, sum(file.size or 0 for file in inputs.files) if inputs else 0):
            return _make(spark, config, stage, inputs, base, index, signatures)


def _make(
    spark: SparkSession,
    config: Config,
    stage: Stage,
    inputs: Inputs | None,
    base: Manifest | None,
    index: EvaluationIndex | None,
    signatures: SignatureIndex | None,
) -> Manifest:
    """Write all tables to the claimed folder and publish them."""
    out = stage.folder
    kept_columns = config.input.keep_columns
    records = f"{out}/{RECORDS}"
    if inputs:
        title = f"{STAGE}: reading {inputs.title}"
        tables.write_once(records, partial(_process_texts, spark, config, inputs, index), title)
    elif base and _has_signatures(base, config):
        records = records_folder(storage.absolute(config.dedup.run))
    else:
        title = f"{STAGE}: computing the signatures of {config.dedup.run}"
        tables.write_once(records, partial(_sign_again, spark, config), title)
    copies = find_copies(spark, config, records, f"{out}/{COPIES}", STAGE, signatures)
    decisions = find_repeated_text(spark, config, out, records, copies, STAGE)

    with tables.timed(f"{out}/{publishing.DUPLICATES}", f"{STAGE}: writing the table of duplicates"):
        publishing.write_duplicates(spark, out, records, decisions, kept_columns)
    with_documents = config.dedup.output == "documents"
    title = f"{STAGE}: publishing {'documents, ' * with_documents}ledger, quarantine"
    with tables.timed(f"{out}/documents", title):
        publishing.write_tables(spark, out, records, decisions, kept_columns, with_documents=with_documents)
    with step("counts", f"{STAGE}: counting documents, hashing files"):
        facts = publishing.write_cuts(spark, out, records)
        facts |= {"index": signatures.corpora} if signatures else {}
        facts |= {"run": base.sha256()} if base else {}
        facts |= contamination.publish(spark, out, records, index, config)
        return counting.publish(spark, stage, records, decisions, facts=facts)


def _plan_tables(spark: SparkSession, config: Config) -> Inputs:
    inputs = plan_inputs(spark, config.input)
    for name, path in inputs.formats.items():
        if name not in TABLE_FORMATS:
            raise InputError(
                f"{path}: is read as {name}, but dedup reads tables of texts (Parquet, JSON lines); extract "
                "the texts with jobs/clean.py, or set input.format"
            )
    return inputs


def _stage(
    config: Config,
    inputs: Inputs | None = None,
    contents: Sequence[str] = (),
    base: Manifest | None = None,
) -> Stage:
    settings = resolved(config, "input", "decontamination", "dedup", "ledger")
    files = inputs.files if inputs else []
    versions = [f"{file.path} {file.size} {file.version}" for file in files]
    versions += contents
    reads = read_paths(config)
    if base:
        versions.append(base.sha256())
        run = storage.absolute(config.dedup.run)
        reads += [records_folder(run), *(storage.join(run, entry) for entry in OUTPUTS)]
    return Stage(
        STAGE,
        storage.absolute(config.output.path),
        fingerprint(STAGE, settings, versions),
        settings,
        [file.path for file in files] or [storage.absolute(config.dedup.run)],
        inputs.skipped if inputs else {},
        owned=OUTPUTS,
        reads=reads,
        overwrite=config.output.overwrite,
    )


def _run(config: Config) -> Manifest:
    """Return the manifest of the run to decide about again, if it is finished and has its analysis."""
    run = storage.absolute(config.dedup.run)
    found = manifest.read(run, *manifest.CORPUS_STAGES)
    records_folder(run)
    if found.config["dedup"]["output"] == "duplicates":
        raise InputError(
            f"dedup.run = {config.dedup.run}: has no texts (dedup.output = duplicates); read its inputs again"
        )
    return found


def _with_columns_of(base: Manifest, config: Config) -> Config:
    """Return the configuration with the columns that the run passed through, which the manifest records.

    Raises :class:`MismatchError` if others are asked for.
    """
    kept, wanted = base.config["input"]["keep_columns"], config.input.keep_columns
    if wanted and list(wanted) != list(kept):
        raise MismatchError(
            f"input.keep_columns = {', '.join(wanted)}: dedup.run = {config.dedup.run} has "
            f"{', '.join(kept) or 'no columns of its input'}; remove the setting, or read the inputs again"
        )
    columns = config.input.model_copy(update={"keep_columns": tuple(kept)})
    return config.model_copy(update={"input": columns})


def _has_signatures(base: Manifest, config: Config) -> bool:
    """True if the signatures of the run are those that are asked for. The threshold is not part of them."""
    own = parameters(parse(base.config["dedup"], DedupConfig))
    return own[:-1] == parameters(config.dedup)[:-1]


def _process_texts(
    spark: SparkSession, config: Config, inputs: Inputs, index: EvaluationIndex | None, folder: str
) -> None:
    shared = spark.sparkContext.broadcast(index)

    def run(batches: Batches) -> Batches:
        splits = (InputSplit(**row) for batch in batches for row in batch.to_pylist())
        return record_processing.process_texts(splits, config, shared.value)

    schema = from_arrow_schema(record_processing.schema(config.input.keep_columns))
    tables.write_portions(folder, inputs.portions, lambda splits: splits.mapInArrow(run, schema))


def _sign_again(spark: SparkSession, config: Config, folder: str) -> None:
    """Write the run's table of records with other signatures, from the texts of the records it kept."""
    schema = record_processing.schema(config.input.keep_columns)

    def run(batches: Batches) -> Batches:
        paths = (path for batch in batches for path in batch["path"].to_pylist())
        rows = (batch for path in paths for batch in read_part(path, schema.names))
        return record_processing.sign_again(rows, config)

    parts = parts_of(spark, records_folder(storage.absolute(config.dedup.run)))
    tables.write(parts.files.mapInArrow(run, from_arrow_schema(schema)), folder)

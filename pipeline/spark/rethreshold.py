"""Apply another recipe to a finished run, from what the run measured. No text is read.

1. Settings under which the run would have measured or edited its texts differently are collected.
2. Every record is decided about by its stored metrics (:mod:`pipeline.filters.rethreshold`).
3. The records that remain are clustered by their stored keys, and duplicates among them are dropped
   (:mod:`pipeline.dedup.survivors`).
4. Records are counted by what happened to them in the run and what happens to them now.

Runs of up to :data:`LOCAL_RECORDS` are processed here, before a JVM could have started; larger ones by Spark.
Both apply the same rules.
"""

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from core import manifest, storage
from core.config import Config, DedupConfig, FiltersConfig, parse, require
from core.errors import MismatchError
from core.manifest import Manifest
from core.stage import check_output
from pipeline.dedup.clusters import Document, find_duplicates
from pipeline.dedup.parameters import overrides, parameters
from pipeline.dedup.survivors import Candidate, preference
from pipeline.filters.recipe import FILE_SETTINGS, Recipe, build_recipe, differing_settings
from pipeline.filters.recipe import validate as validate_filters
from pipeline.filters.rethreshold import COLUMNS, decide
from pipeline.ledger import LEDGER, RECORDS
from pipeline.ledger.comparison import QUARANTINED, Change
from pipeline.ledger.tables import files, records_folder
from pipeline.ledger.tables import schema as ledger_schema
from pipeline.spark import clean, record_processing, tables
from pipeline.spark.dedup import clusters
from pipeline.spark.steps import step

LOCAL_RECORDS = 200_000
"""Largest run that is processed without Spark: some ten seconds and a gigabyte."""

MEASURED_BY = {
    "counting": "gopher_*",
    "split_unspaced": "gopher_*, copies",
    "lines": "fineweb_*, removed_*, pii_*, copies",
    "terminal_punctuation": "c4_*, fineweb_*, removed_*",
    "toxic_sentence": "toxic_sentences, removed_*, pii_*, copies",
    "keep_lines": "removed_*, copies",
    "mask_pii": "copies",
    "language_model": "language_*",
    "url_domains": "url_domain",
    "url_addresses": "url_address",
    "url_words": "url_word",
    "quality_model": "quality",
    "toxicity_model": "toxicity",
    "toxicity_words": "toxicity",
}
"""Metrics and results that depend on each setting."""
EDITING = ("lines", "terminal_punctuation", "toxic_sentence", "keep_lines", "mask_pii")
"""Settings that edit the published texts."""

NOT_APPLIED = {
    "dedup.index": "dedup.exact, dedup.near",
    "dedup.lines": "dedup.repeated, texts",
    "dedup.substrings": "dedup.repeated, texts",
}
"""Settings that are not applied here, and the results that depend on each."""

_SIGNATURE = ("source", "url", "fetched_at", "normalized_hash", "words", "shingles")
"""Columns that deduplication reads, besides id and keys."""
_READ = ("id", "error", *_SIGNATURE, *COLUMNS)
_DECIDED = pa.schema(
    [
        *(
            field
            for field in record_processing.schema()
            if field.name in ("id", "error", "language", "metrics")
        ),
        *(field for field in record_processing.schema() if field.name in (*_SIGNATURE, "keys", "reason")),
        ("unmeasured", pa.string()),
    ]
)

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rethresholded:
    """Result of applying another recipe to a run, and how reliable it is."""

    preset: str
    """The run's own preset."""
    changes: list[Change]
    differing: dict[str, str]
    """Settings that affect measuring or editing and differ from the run's, each with what depends on it."""
    not_applied: dict[str, str]
    """Settings of the run or of the request that are not applied, each with what depends on it."""

    @property
    def editing(self) -> list[str]:
        """Settings that would edit texts differently. The texts of the run stay as they are."""
        return [key for key in self.differing if key in EDITING]


class _Fates(NamedTuple):
    """Everything that decides how one record is counted."""

    damaged: bool
    previous: str | None
    """Why the run dropped the record, if it did."""
    copy: str | None
    """Why the record is dropped as a duplicate now, if it is."""
    reason: str | None
    language: str | None
    unmeasured: str | None

    def change(self, records: int) -> Change:
        """Count records with these fates. Deduplication applies only to records that no filter dropped."""
        before, after = self.previous, self.copy or self.reason
        if self.damaged:
            before = after = QUARANTINED
        return Change(before, after, self.language, self.unmeasured, records)


def validate(config: Config) -> None:
    """Raise an error for settings that :func:`rethreshold` would reject; reads nothing of the run."""
    check_output(config)
    validate_filters(config.filters)


def rethreshold(session: Callable[[], SparkSession], config: Config) -> Rethresholded:
    """Decide about the records of the run in ``output.path`` by ``[filters]`` and ``[dedup]``.

    Calls ``session`` only if Spark is needed. Leaves no files. Raises :class:`ManifestError` if there is no
    finished run, :class:`InputError` if its ``analysis/`` was removed, and :class:`MismatchError` if
    ``[dedup]`` needs other keys than the run computed.
    """
    require(config, "output.path")
    out = storage.absolute(config.output.path)
    made = manifest.read(out, clean.STAGE)
    records_folder(out)
    _refuse_other_keys(config, made)
    own, requested = _filters(made), config.filters
    differing = differing_settings(build_recipe(own), build_recipe(requested))
    differing += [key for key in FILE_SETTINGS if getattr(own, key) != getattr(requested, key)]
    differing += ["keep_lines"] * (own.keep_lines != requested.keep_lines)
    differing += ["mask_pii"] * (build_recipe(own).mask_pii != build_recipe(requested).mask_pii)
    if made.counts["records_in"] <= LOCAL_RECORDS:
        counts = _count_locally(out, build_recipe(requested), config.dedup)
    else:
        spark = session()
        with step("rethreshold", "rethreshold: deciding about all records again"):
            counts = _count_by_spark(spark, out, build_recipe(requested), config.dedup)
    changes = [fates.change(records) for fates, records in counts.items()]
    return Rethresholded(
        own.preset,
        changes,
        {key: MEASURED_BY[key] for key in differing},
        {
            key: NOT_APPLIED[key]
            for key in _not_applied(parse(made.config["dedup"], DedupConfig), config.dedup)
        },
    )


def _not_applied(*settings: DedupConfig) -> Iterator[str]:
    """Yield the settings in use, of the run or of the request, that are not applied here.

    They would need the index or the texts. Passages that are only marked change nothing.
    """
    if any(each.index for each in settings):
        yield "dedup.index"
    if any(each.lines.min_documents for each in settings):
        yield "dedup.lines"
    if any(each.substrings.min_words and each.substrings.action == "cut" for each in settings):
        yield "dedup.substrings"


def _count_locally(out: str, wanted: Recipe, settings: DedupConfig) -> Counter[_Fates]:
    previous = {row["id"]: row["reason"] for row in _read_rows(out, LEDGER, ["id", "reason"])}
    records = list(_read_rows(out, RECORDS, list(_READ)))
    decisions = [decide(record, wanted) for record in records]
    kept = [
        record
        for record, decision in zip(records, decisions, strict=True)
        if not (decision.reason or record["error"])
    ]
    copies = _find_duplicates(kept, settings)
    return Counter(
        _Fates(
            damaged=record["error"] is not None,
            previous=previous.get(record["id"]),
            copy=copies.get(record["id"]),
            reason=decision.reason,
            language=record["language"],
            unmeasured=decision.unmeasured,
        )
        for record, decision in zip(records, decisions, strict=True)
    )


def _read_rows(out: str, table: str, columns: list[str]) -> Iterator[Record]:
    """Read a table file by file. An Arrow dataset would import pandas first, which takes as long."""
    for path in files(out, table):
        with storage.open_read(path) as stream:
            yield from pq.ParquetFile(stream).read(columns).to_pylist()


def _find_duplicates(kept: Iterable[Record], settings: DedupConfig) -> dict[str, str]:
    """Find what :func:`clusters.find_clusters` finds, in memory: the reason of each dropped duplicate."""
    documents = {
        record["id"]: Document(
            Candidate(
                record["id"], record["normalized_hash"], record["keys"] or (), record["shingles"] or b""
            ),
            preference(
                settings,
                words=record["words"],
                fetched_at=record["fetched_at"],
                quality=(record["metrics"] or {}).get("quality"),
                source=record["source"],
            ),
            record["url"] or "",
            record["fetched_at"],
        )
        for record in kept
    }
    decisions = find_duplicates(documents, settings)
    return {decision.id: decision.reason.value for decision in decisions if decision.reason}


def _count_by_spark(spark: SparkSession, out: str, wanted: Recipe, settings: DedupConfig) -> Counter[_Fates]:
    schema = record_processing.schema()
    records = tables.read(spark, records_folder(out), pa.schema([schema.field(name) for name in _READ]))
    decided = records.mapInArrow(partial(_decide_batches, wanted=wanted), from_arrow_schema(_DECIDED))
    entries = tables.read(spark, f"{out}/{LEDGER}", ledger_schema())
    work = f"{out}/analysis/rethreshold-{uuid.uuid4().hex}"
    try:
        decided = tables.checkpoint(spark, decided, f"{work}/records")
        copies, _ = clusters.find_clusters(spark, f"{work}/records", settings, f"{work}/clusters")
        return _count_fates(decided, entries, copies)
    finally:
        storage.remove(work)


def _decide_batches(batches: Iterable[pa.RecordBatch], wanted: Recipe) -> Iterator[pa.RecordBatch]:
    """Replace the metrics of records by the decisions about them: rows of ``_DECIDED``."""
    for batch in batches:
        decisions = [decide(record, wanted) for record in batch.select(COLUMNS).to_pylist()]
        columns: dict[str, Any] = {
            "reason": pa.array([decision.reason for decision in decisions], pa.string()),
            "unmeasured": pa.array([decision.unmeasured for decision in decisions], pa.string()),
        }
        arrays = [columns[name] if name in columns else batch.column(name) for name in _DECIDED.names]
        yield pa.RecordBatch.from_arrays(arrays, schema=_DECIDED)


def _count_fates(decided: DataFrame, entries: DataFrame, copies: DataFrame) -> Counter[_Fates]:
    previous = entries.select("id", F.col("reason").alias("previous"))
    now = copies.select("id", F.col("reason").alias("copy"))
    damaged = F.col("error").isNotNull().alias("damaged")
    joined = decided.join(previous, "id", "left").join(now, "id", "left")
    counted = joined.select(damaged, *_Fates._fields[1:]).groupBy(*_Fates._fields).count()
    return Counter({_Fates(*row[:-1]): row[-1] for row in counted.collect()})


def _filters(made: Manifest) -> FiltersConfig:
    """The run's filter settings: what its manifest records under their names."""
    recorded = made.config["filters"]
    return parse(
        {name: recorded[name] for name in FiltersConfig.model_fields if name in recorded}, FiltersConfig
    )


def _refuse_other_keys(config: Config, made: Manifest) -> None:
    own = parameters(parse(made.config["dedup"], DedupConfig))
    requested = parameters(config.dedup)
    for key in ("bands", "rows", "shingle", "seed"):
        if (value := getattr(requested, key)) != (fixed := getattr(own, key)):
            raise MismatchError(
                f"dedup.{key} = {value}: the run compared its documents with {fixed}, which is fixed; pass "
                f"{overrides(own, key)}, or run clean again"
            )

"""A finished run decided anew under another recipe, from what it measured: no text is read.

Every record's numbers, and the keys under which copies meet, are in ``analysis/records``. So the filters
decide and clusters are found as in a run of its own, wherever both recipes measure and edit alike. A run of
moderate size is decided in this process (``redecide.py``), a larger one by Spark.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from core import manifest, storage
from core.config import Config, DedupConfig, FiltersConfig, parse, require, resolved
from core.errors import MismatchError
from core.manifest import Manifest
from pipeline.filters.recipe import FILES, Condition, Recipe, differing_settings, recipe
from pipeline.ledger import COPIES, RECORDS, Reason
from pipeline.ledger.comparison import QUARANTINED, Change
from pipeline.spark import clean, clusters, one_pass, redecide, tables

_READ = ("id", "language", "language_score", "metrics", "reason", "error", "text_hash", "words", "keys")

MEASURED_BY = {
    "counting": "gopher_*",
    "split_unspaced": "gopher_*, copies",
    "lines": "fineweb_*, pii_*, copies",
    "terminal_punctuation": "c4_*, fineweb_*",
    "toxic_sentence": "toxic_sentences, pii_*, copies",
    "mask_pii": "copies",
    "language_model": "language_*",
    "url_domains": "url_domain",
    "url_addresses": "url_address",
    "url_words": "url_word",
    "quality_model": "quality",
    "toxicity_model": "toxicity",
    "toxicity_words": "toxicity",
}
"""What is measured otherwise, or on texts that were edited otherwise, where a setting differs."""


@dataclass(frozen=True, slots=True)
class Rethresholded:
    """What became of a run's records, and what of it is not certain."""

    preset: str
    """The run's own."""
    changes: list[Change]
    unlike: dict[str, str]
    """Settings that differ so that texts would be measured or edited otherwise, and what that concerns."""


def rethreshold(session: Callable[[], SparkSession], config: Config) -> Rethresholded:
    """Decide about the records of the run in ``output.path`` as ``[filters]`` and ``[dedup]`` say.

    Asks for a session if it needs one, and writes nothing that stays. Raises :class:`ManifestError` where no
    finished run is, and :class:`MismatchError` if ``[dedup]`` asks for other keys than the run made.
    """
    require(config, "output.path")
    out = storage.absolute(config.output.path)
    made = manifest.read(out, clean.STAGE)
    _refuse_other_keys(config, made)
    own, asked = _filters(made), config.filters
    unlike = differing_settings(recipe(own), recipe(asked))
    unlike += [key for key in (*FILES, "mask_pii") if getattr(own, key) != getattr(asked, key)]
    if made.counts["records_in"] <= redecide.MOST_RECORDS:
        changes = redecide.redecide(out, list(_READ), recipe(asked), config.dedup)
    else:
        changes = _on_cluster(session(), out, recipe(asked), config.dedup)
    return Rethresholded(own.preset, changes, {key: MEASURED_BY[key] for key in unlike})


def _on_cluster(spark: SparkSession, out: str, wanted: Recipe, settings: DedupConfig) -> list[Change]:
    schema = one_pass.schema()
    records = tables.read(spark, f"{out}/{RECORDS}", pa.schema([schema.field(name) for name in _READ]))
    decided = decide(records, wanted).cache()
    work = f"{out}/analysis/rethreshold-{uuid.uuid4().hex}"
    try:
        copies = clusters.find_clusters(spark, decided, settings, work)
        return _changes(decided, tables.read(spark, f"{out}/{COPIES}", clusters.schema()), copies)
    finally:
        storage.remove(work)
        decided.unpersist()


def decide(records: DataFrame, wanted: Recipe) -> DataFrame:
    """Records with what dropped them in their run (``before``) and what drops them now, copies aside.

    ``unasked`` is why the latter is not certain: a condition that nobody measured the record for, so that it
    stays; or what dropped it by its address before it had a text and now would not, so that this stands.
    """
    verdict, before, score = F.col("verdict"), F.col("reason"), F.col("language_score")
    stage = F.substring_index(before, ".", 1)
    reason = F.when(stage == "read", before).otherwise(F.coalesce(verdict, F.when(score.isNull(), before)))
    missing = [F.when(_value(each).isNull(), each.reason.value) for each in wanted.on_text]
    missing.append(F.when(F.col("keys").isNull(), Reason.NEAR_DUPLICATE.value))
    unasked = F.when(score.isNotNull() & verdict.isNull(), F.coalesce(*missing))
    unmeasured = F.when((stage == "url") & verdict.isNull(), before)
    return records.withColumn("verdict", failing(wanted)).select(
        *("id", "language", "error", "text_hash", "words", "keys"),
        before.alias("before"),
        reason.alias("reason"),
        F.coalesce(unasked, unmeasured).alias("unasked"),
    )


def failing(wanted: Recipe) -> Column:
    """The reason of the first condition that a record's numbers fail; null: none, it stays.

    What :func:`pipeline.filters.recipe.first_failing` decides, as an expression: rows need not go to Python.
    """
    unwanted = F.when(
        F.col("language_score").isNotNull() & ~F.col("language").isin(*wanted.languages),
        Reason.LANGUAGE_UNWANTED.value,
    )
    return F.coalesce(
        *map(_failing, wanted.on_address),
        *([unwanted] if wanted.languages else []),
        *map(_failing, wanted.on_text),
        F.lit(None).cast("string"),
    )


def _failing(condition: Condition) -> Column:
    limit = F.lit(float(condition.threshold))
    if condition.by_language:
        pairs = [F.lit(item) for pair in condition.by_language.items() for item in pair]
        limit = F.coalesce(F.try_element_at(F.create_map(*pairs), F.col("language")), limit)
    value = _value(condition)
    fails = value < limit if condition.demand == "at least" else value > limit
    return F.when(fails, condition.reason.value)


def _value(condition: Condition) -> Column:
    in_metrics = condition.metric != "language_score"
    return F.col(f"metrics.{condition.metric}" if in_metrics else condition.metric)


def _changes(decided: DataFrame, copies_before: DataFrame, copies_after: DataFrame) -> list[Change]:
    """How many records went from which fate to which, by language."""
    before = copies_before.select("id", F.col("reason").alias("copy_before"))
    after = copies_after.select("id", F.col("reason").alias("copy_after"))
    damaged = F.when(F.col("error").isNotNull(), QUARANTINED)
    fates = [
        F.coalesce(damaged, "copy_before", "before").alias("fate_before"),
        F.coalesce(damaged, "copy_after", "reason").alias("fate_after"),
    ]
    joined = decided.join(before, "id", "left").join(after, "id", "left")
    counted = joined.groupBy(*fates, "language", "unasked").count()
    return [Change(*row) for row in counted.collect()]


def _filters(made: Manifest) -> FiltersConfig:
    """The settings that the run's manifest records, without what was added to them."""
    recorded = made.config["filters"]
    return parse(
        {name: recorded[name] for name in FiltersConfig.model_fields if name in recorded}, FiltersConfig
    )


def _refuse_other_keys(config: Config, made: Manifest) -> None:
    asked, own = resolved(config, "dedup")["dedup"], made.config["dedup"]
    for key in ("bands", "rows", "shingle", "seed"):
        if asked[key] != own[key]:
            raise MismatchError(
                f"dedup.{key} = {asked[key]}: the run compared its documents with {own[key]}, which stands; "
                f"say --set dedup.{key}={own[key]}, or run clean again"
            )

"""Publish the tokenizer of a corpus.

1. Draw a sample of texts that fits on one machine, by a hash of the document id, and by weights of sources
   and languages if they are configured.
2. Train in the driver, or read the existing tokenizer that is configured.
3. Measure the tokenizer on documents that it was not trained on, and publish it with the report.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from core import manifest, storage
from core.config import Config, TokenizerConfig, require, resolved
from core.errors import ConfigError
from core.manifest import Manifest, fingerprint
from core.stage import Stage
from core.tokenizer import STAGE, Tokenizer, publish, read_existing, train
from pipeline.languages import codes
from pipeline.reports.tokenizer import REPORT, SampleDocument, TokenizerReport, measure
from pipeline.spark import documents, tables
from pipeline.spark.steps import recorded

BUCKET_BITS = 14
"""The sample is drawn by buckets of a hash. The driver collects one number per bucket, and Spark sorts less
than one bucket more than the sample."""
HELD_OUT = 0.01
"""Share of the documents that no tokenizer is trained on, but measured on."""
HELD_OUT_FROM = 1000
"""Number of documents of a corpus from which on some are held out."""
REPORT_CHARACTERS = 10_000_000
"""Characters of text that the report measures."""

Group = tuple[str, str]
"""Source and language; empty if it has no weight of its own."""


@dataclass(frozen=True, slots=True)
class _Named:
    """A tokenizer, its path or kind as its name, and its kind or format."""

    name: str
    tokenizer: Tokenizer
    kind: str

    @property
    def identity(self) -> str:
        """Hash of the token ids, special tokens and chat template."""
        found = self.tokenizer
        parts = [found.sha256, dict(found.names), found.bos, found.chat_template]
        return hashlib.sha256(manifest.canonical(parts)).hexdigest()


def train_tokenizer(spark: SparkSession, config: Config) -> Manifest:
    """Run the stage in ``tokenizer/`` of the output and return its manifest. Does nothing if already done.

    Raises :class:`ConfigError` for a weight of a source or language that the corpus does not have, and
    :class:`core.errors.InputError` for an existing tokenizer that cannot be read.
    """
    require(config, "output.path")
    out = storage.absolute(config.output.path)
    settings, inputs = resolved(config, "tokenizer"), [documents.corpus_hash(out)]
    existing, other = _read(config.tokenizer.path), _read(config.tokenizer.compare)
    given = [each for each in (existing, other) if each]
    stage = Stage(
        STAGE,
        f"{out}/tokenizer",
        fingerprint(STAGE, settings, [*inputs, *(each.identity for each in given)]),
        settings,
        [*inputs, *(each.name for each in given)],
        overwrite=config.output.overwrite,
    )
    title = f"measuring {existing.name}" if existing else "learning from a sample"
    with stage.lock() as done:
        if done:
            return done
        with recorded(stage), tables.timed(stage.folder, f"{STAGE}: {title}"):
            made, report = _make(documents.read(spark, out), config.tokenizer, existing, other)
            stage.begin()
            entry = stage.write(REPORT, report.model_dump_json(indent=2).encode() + b"\n")
            return publish(made.tokenizer, stage, {"kind": made.kind}, [entry])


def _read(path: str) -> _Named | None:
    return _Named(storage.absolute(path), *read_existing(path)) if path else None


def _make(
    table: DataFrame, settings: TokenizerConfig, existing: _Named | None, other: _Named | None
) -> tuple[_Named, TokenizerReport]:
    """Return the tokenizer, trained if there is no existing one, and measured on held-out documents."""
    held_out = bool(existing) or table.count() >= HELD_OUT_FROM
    if existing:
        made = existing
    else:
        learned = table.where(~_is_held_out(settings)) if held_out else table
        made = _Named(settings.kind, train(sample(learned, settings), settings), settings.kind)
        table = table.where(_is_held_out(settings)) if held_out else table
    sampled = list(_documents(table, settings))
    measured = [measure(each.name, each.tokenizer, sampled) for each in (made, other) if each]
    return made, TokenizerReport(held_out=held_out, tokenizers=measured)


def _documents(table: DataFrame, settings: TokenizerConfig) -> Iterator[SampleDocument]:
    """Yield documents of :data:`REPORT_CHARACTERS` characters in total, in the order of a hash."""
    language = F.coalesce("language", F.lit(codes.UNKNOWN)).alias("language")
    hashed = _by_hash(_hashed(table, settings, "source", language))
    rows = _first(hashed, REPORT_CHARACTERS, "id", "source", "language", "text")
    remaining = REPORT_CHARACTERS
    for row in rows.toLocalIterator():
        if remaining <= 0:
            return
        yield SampleDocument(*row)
        remaining -= len(row["text"])


def _is_held_out(settings: TokenizerConfig) -> Column:
    uniform = F.shiftrightunsigned(F.xxhash64(F.lit(settings.seed), F.lit("held out"), "id"), 11)
    return uniform < F.lit(HELD_OUT * 2.0**53)


def sample(table: DataFrame, settings: TokenizerConfig) -> Iterator[str]:
    """Return texts of ``sample_characters`` characters in total, the last one truncated.

    Texts are taken in the order of a seeded hash of the id, so that the sample depends only on the set of
    documents. With weights, the order is that of an exponential race (Efraimidis and Spirakis 2006, "Weighted
    random sampling with a reservoir"): any prefix holds each group of documents in proportion to its weight,
    until the group is used up. Raises :class:`ConfigError` for a weight of what the corpus does not have.
    """
    hashed = _hashed(table, settings, *_groups(settings))
    weighted = settings.source_weights or settings.language_weights
    ordered = _by_weight(hashed, settings) if weighted else _by_hash(hashed)
    return _cut(_first(ordered, settings.sample_characters, "text"), settings.sample_characters)


def _hashed(table: DataFrame, settings: TokenizerConfig, *columns: Column | str) -> DataFrame:
    seeded = F.xxhash64(F.lit(settings.seed), "id").alias("hash")
    return table.select(seeded, "id", "text", F.length("text").alias("characters"), *columns)


def _by_hash(hashed: DataFrame) -> DataFrame:
    """Add order and bucket by the hash."""
    bucket = F.shiftrightunsigned("hash", 64 - BUCKET_BITS).cast("int")
    return hashed.withColumns({"order": F.col("hash"), "bucket": bucket})


def _first(ordered: DataFrame, characters: int, *columns: str) -> DataFrame:
    """Return rows in their order, up to the bucket in which their texts have so many characters."""
    last = _last_bucket(ordered, characters)
    return ordered.where(F.col("bucket") <= last).orderBy("bucket", "order", "id").select(*columns)


def _cut(texts: DataFrame, characters: int) -> Iterator[str]:
    for (text,) in texts.toLocalIterator():
        yield text[:characters]
        characters -= len(text)
        if characters <= 0:
            return


def _groups(settings: TokenizerConfig) -> tuple[Column, Column]:
    """Return columns with the source and the language of a document, empty where they have no weights."""
    language = F.coalesce("language", F.lit(codes.UNKNOWN))
    return (
        (F.col("source") if settings.source_weights else F.lit("")).alias("source"),
        (language if settings.language_weights else F.lit("")).alias("language"),
    )


def _by_weight(hashed: DataFrame, settings: TokenizerConfig) -> DataFrame:
    """Add order and bucket: the time at which a document wins the race, in units of a bucket.

    Documents of a group win at a rate in proportion to the group's weight, and in inverse proportion to its
    characters.
    """
    counted = hashed.groupBy("source", "language").agg(F.sum("characters")).collect()
    characters = {(source, language): count for source, language, count in counted if count}
    rates = {group: weight / characters[group] for group, weight in _weights(characters, settings).items()}
    unit = _end_of_race(characters, rates, settings.sample_characters) / (1 << BUCKET_BITS - 1)
    rows = [(*group, rate * unit) for group, rate in rates.items()]
    by_group = hashed.sparkSession.createDataFrame(rows, "source string, language string, rate double")
    uniform = (F.shiftrightunsigned("hash", 11) + F.lit(0.5)) / F.lit(2.0**53)
    raced = hashed.join(F.broadcast(by_group), ["source", "language"])
    raced = raced.withColumn("order", -F.log(uniform) / F.col("rate"))
    return raced.withColumn("bucket", F.least(F.col("order"), F.lit(float(1 << BUCKET_BITS))).cast("int"))


def _weights(characters: Mapping[Group, int], settings: TokenizerConfig) -> dict[Group, float]:
    """Return the weight of each group that is drawn from: the product of those of its source and language."""
    sides = ("source_weights", settings.source_weights), ("language_weights", settings.language_weights)
    for side, (name, weights) in enumerate(sides):
        there = {group[side] for group in characters}
        for wanted in weights:
            if wanted not in there:
                known = ", ".join(sorted(there))
                raise ConfigError(f"tokenizer.{name}.{wanted}: not in the corpus; use some of {known}")
    found: dict[Group, float] = {}
    for source, language in characters:
        weight = settings.source_weights.get(source, 0.0 if settings.source_weights else 1.0)
        weight *= settings.language_weights.get(language, 0.0 if settings.language_weights else 1.0)
        if weight:
            found[source, language] = weight
    if not found:
        raise ConfigError(
            "tokenizer.source_weights, tokenizer.language_weights: no document has both a source and a "
            "language with a weight; add weights"
        )
    return found


def _end_of_race(characters: Mapping[Group, int], rates: Mapping[Group, float], wanted: int) -> float:
    """Return the time at which the winners are expected to have the wanted number of characters."""

    def drawn(time: float) -> float:
        return sum(characters[group] * -math.expm1(-rate * time) for group, rate in rates.items())

    wanted = min(wanted, int(0.999 * sum(characters[group] for group in rates)))
    low, high = 0.0, 1.0 / max(rates.values())
    while drawn(high) < wanted:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if drawn(middle) < wanted else (low, middle)
    return high


def _last_bucket(hashed: DataFrame, characters: int) -> int:
    """Return the bucket at which the cumulative length reaches ``characters``."""
    last = 1 << BUCKET_BITS
    for bucket, length in hashed.groupBy("bucket").agg(F.sum("characters")).orderBy("bucket").collect():
        last = bucket
        characters -= length
        if characters <= 0:
            break
    return last

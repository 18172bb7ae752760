"""Train a tokenizer on the published documents.

1. Draw a sample of texts that fits on one machine, by a hash of the document id, and by weights of sources
   and languages if they are configured.
2. Train in the driver and publish the tokenizer.
"""

import math
from collections.abc import Iterator, Mapping

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from core import storage
from core.config import Config, TokenizerConfig, require, resolved
from core.errors import ConfigError
from core.manifest import Manifest, Stage, fingerprint
from core.tokenizer import STAGE, train
from pipeline.languages import codes
from pipeline.spark import documents, tables

BUCKET_BITS = 14
"""The sample is drawn by buckets of a hash. The driver collects one number per bucket, and Spark sorts less
than one bucket more than the sample."""

Group = tuple[str, str]
"""Source and language; empty if it has no weight of its own."""


def train_tokenizer(spark: SparkSession, config: Config) -> Manifest:
    """Run the stage in ``tokenizer/`` of the output and return its manifest. Does nothing if already done.

    Raises :class:`ConfigError` for a weight of a source or language that the corpus does not have.
    """
    require(config, "output.path")
    out = storage.absolute(config.output.path)
    settings, inputs = resolved(config, "tokenizer"), [documents.corpus_hash(out)]
    stage = Stage(
        STAGE,
        f"{out}/tokenizer",
        fingerprint(STAGE, settings, inputs),
        settings,
        inputs,
        overwrite=config.output.overwrite,
    )
    if done := stage.finished():
        return done
    texts = sample(documents.read(spark, out), config.tokenizer)
    stage.begin()
    with tables.timed(stage.folder, f"{STAGE}: learning from a sample"):
        return train(texts, config.tokenizer, stage)


def sample(table: DataFrame, settings: TokenizerConfig) -> Iterator[str]:
    """Return texts of ``sample_characters`` characters in total, the last one truncated.

    Texts are taken in the order of a seeded hash of the id, so that the sample depends only on the set of
    documents. With weights, the order is that of an exponential race (Efraimidis and Spirakis 2006, "Weighted
    random sampling with a reservoir"): any prefix holds each group of documents in proportion to its weight,
    until the group is used up. Raises :class:`ConfigError` for a weight of what the corpus does not have.
    """
    hashed = table.select(
        F.xxhash64(F.lit(settings.seed), "id").alias("hash"),
        "id",
        "text",
        F.length("text").alias("characters"),
        *_groups(settings),
    )
    if settings.source_weights or settings.language_weights:
        hashed = _by_weight(hashed, settings)
    else:
        bucket = F.shiftrightunsigned("hash", 64 - BUCKET_BITS).cast("int")
        hashed = hashed.withColumns({"order": F.col("hash"), "bucket": bucket})
    last = _last_bucket(hashed, settings.sample_characters)
    chosen = hashed.where(F.col("bucket") <= last).orderBy("bucket", "order", "id").select("text")
    return _cut(chosen, settings.sample_characters)


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

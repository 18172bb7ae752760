"""Train a tokenizer on the published documents.

1. Draw a sample of texts that fits on one machine, by a hash of the document id.
2. Train in the driver and publish the tokenizer.
"""

from collections.abc import Iterator

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from core import storage
from core.config import Config, TokenizerConfig, require, resolved
from core.manifest import Manifest, Stage, fingerprint
from core.tokenizer import STAGE, train
from pipeline.spark import documents, tables

BUCKET_BITS = 14
"""The sample is drawn by buckets of a hash. The driver collects one number per bucket, and Spark sorts less
than one bucket more than the sample."""


def train_tokenizer(spark: SparkSession, config: Config) -> Manifest:
    """Run the stage in ``tokenizer/`` of the output and return its manifest. Does nothing if already done."""
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
    if done := stage.begin():
        return done
    with tables.timed(stage.folder, f"{STAGE}: learning from a sample"):
        return train(sample(documents.read(spark, out), config.tokenizer), config.tokenizer, stage)


def sample(table: DataFrame, settings: TokenizerConfig) -> Iterator[str]:
    """Yield texts of ``sample_characters`` characters in total, the last one truncated.

    Texts are taken in the order of a seeded hash of the id, so that the sample depends only on the set of
    documents.
    """
    order = F.xxhash64(F.lit(settings.seed), "id")
    hashed = table.select(order.alias("order"), "id", "text", F.length("text").alias("characters"))
    hashed = hashed.withColumn("bucket", F.shiftrightunsigned("order", 64 - BUCKET_BITS).cast("int"))
    last = _last_bucket(hashed, settings.sample_characters)
    chosen = hashed.where(F.col("bucket") <= last).orderBy("bucket", "order", "id").select("text")
    remaining = settings.sample_characters
    for (text,) in chosen.toLocalIterator():
        yield text[:remaining]
        remaining -= len(text)
        if remaining <= 0:
            return


def _last_bucket(hashed: DataFrame, characters: int) -> int:
    """Return the bucket at which the cumulative length reaches ``characters``."""
    last = 1 << BUCKET_BITS
    for bucket, length in hashed.groupBy("bucket").agg(F.sum("characters")).orderBy("bucket").collect():
        last = bucket
        characters -= length
        if characters <= 0:
            break
    return last

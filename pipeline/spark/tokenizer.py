"""Documents to a tokenizer, by way of a sample that one machine can hold."""

from collections.abc import Iterator

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from core import storage
from core.config import Config, TokenizerConfig, require, resolved
from core.manifest import Manifest, Stage, fingerprint
from core.tokenizer import STAGE, train
from pipeline.spark import documents, tables

BUCKET_BITS = 14
"""The sample is chosen by buckets of a hash. The driver sees one number per bucket, whatever the corpus, and
what Spark sorts exceeds the sample by less than a bucket."""


def train_tokenizer(spark: SparkSession, config: Config) -> Manifest:
    """Run the plan into ``tokenizer/`` of the output; its manifest, written now or before."""
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
    """Texts of at most ``sample_characters`` together, the last one cut to fit.

    They are the first in the order of a seeded hash of the id, so that the sample depends on the set of
    documents alone.
    """
    draw = F.xxhash64(F.lit(settings.seed), "id")
    drawn = table.select(draw.alias("draw"), "id", "text", F.length("text").alias("characters"))
    drawn = drawn.withColumn("bucket", F.shiftrightunsigned("draw", 64 - BUCKET_BITS).cast("int"))
    last = _last_bucket(drawn, settings.sample_characters)
    chosen = drawn.where(F.col("bucket") <= last).orderBy("bucket", "draw", "id").select("text")
    left = settings.sample_characters
    for (text,) in chosen.toLocalIterator():
        yield text[:left]
        left -= len(text)
        if left <= 0:
            return


def _last_bucket(drawn: DataFrame, characters: int) -> int:
    """The first bucket with which the wanted number of characters is reached."""
    last = 1 << BUCKET_BITS
    for bucket, found in drawn.groupBy("bucket").agg(F.sum("characters")).orderBy("bucket").collect():
        last = bucket
        characters -= found
        if characters <= 0:
            break
    return last

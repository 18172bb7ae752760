"""Records chosen from a columnar index of WARC files, such as Common Crawl's: one split for each.

The chosen rows stay distributed; what the driver learns is the names of the files and how many records are
wanted of each.
"""

from pyspark.errors import AnalysisException
from pyspark.logger import PySparkLogger
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from core import storage
from core.config import InputConfig
from core.errors import InputError
from pipeline.readers.inputs import unique_names

RECORDS = 2000
"""Records of one task, on average: a minute of requests."""
NEIGHBOURHOOD = 1 << 20
"""Records that begin in the same so many bytes of a file go to the same task."""

_NEEDED = ("warc_filename", "warc_record_offset", "warc_record_length")
_SOURCE = "commoncrawl"


def select(spark: SparkSession, settings: InputConfig) -> DataFrame:
    """One :class:`~pipeline.readers.record.InputSplit` row for each chosen record, in order in its task.

    Reads the index once, to find out which files there are. Raises :class:`InputError` for an index without
    the columns of one, a condition that means nothing there, and one that chooses nothing.
    """
    path, offset, length = (F.col(name) for name in _NEEDED)
    chosen = _chosen(spark, settings).select(path, offset.cast("long"), length.cast("long")).na.drop()
    counts = {row[0]: row[1] for row in chosen.groupBy(path).count().collect()}
    if not counts:
        raise InputError(
            f"input.index.where = {settings.index.where!r}: chooses no record of {settings.index.path}; "
            "choose otherwise"
        )
    base = storage.absolute(settings.commoncrawl)
    paths = {name: storage.join(base, name) for name in counts}
    names = unique_names(list(paths.values()))
    files = spark.createDataFrame(
        [(name, path, names[path]) for name, path in paths.items()],
        "warc_filename string, path string, file_name string",
    )
    tasks = settings.partitions or max(spark.sparkContext.defaultParallelism, sum(counts.values()) // RECORDS)
    neighbourhood = F.floor(offset / NEIGHBOURHOOD)
    placed = chosen.withColumn("neighbourhood", neighbourhood).repartition(tasks, path, "neighbourhood")
    # An index may name a record twice.
    placed = placed.dropDuplicates(["warc_filename", "neighbourhood", "warc_record_offset"])
    return (
        placed.join(F.broadcast(files), "warc_filename")
        .select(
            "path",
            "file_name",
            F.lit("warc").alias("format"),
            F.lit(settings.source or _SOURCE).alias("source"),
            offset.alias("start"),
            length.alias("length"),
        )
        .sortWithinPartitions("file_name", "start")
    )


def _chosen(spark: SparkSession, settings: InputConfig) -> DataFrame:
    """The index's rows that fulfil the condition."""
    index = settings.index
    table = spark.read.parquet(storage.spark_path(storage.absolute(index.path)))
    if missing := [name for name in _NEEDED if name not in table.columns]:
        raise InputError(
            f"{index.path}: no column {missing[0]!r}, which an index must have; its columns are "
            f"{', '.join(table.columns)}; set input.index.path to an index"
        )
    # The error is shown as one line: not also as a page of JSON.
    PySparkLogger.getLogger("SQLQueryContextLogger").setLevel("CRITICAL")
    try:
        return table.where(index.where) if index.where else table
    except AnalysisException as error:
        problem = str(error).partition(" SQLSTATE")[0].partition("\n")[0].rstrip(".")
        raise InputError(
            f"input.index.where = {index.where!r}: {problem}; the index has {', '.join(table.columns)}; "
            "correct the condition"
        ) from None

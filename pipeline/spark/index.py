"""Select records by a columnar index of WARC files, such as Common Crawl's: one split per record.

The selected rows stay distributed. The driver only collects the file names and the number of records in each.
"""

from pyspark.errors import AnalysisException
from pyspark.logger import PySparkLogger
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from core import storage
from core.config import InputConfig
from core.errors import InputError
from pipeline.readers.inputs import unique_names

RECORDS_PER_TASK = 2000
"""Average number of records in a task: about a minute of requests."""
BLOCK_BYTES = 1 << 20
"""Records that begin in the same block of a file are read by the same task."""

_COLUMNS = ("warc_filename", "warc_record_offset", "warc_record_length")
_DEFAULT_SOURCE = "commoncrawl"


def select_records(spark: SparkSession, settings: InputConfig) -> DataFrame:
    """One :class:`~pipeline.readers.record.InputSplit` row for each chosen record, in order in its task.

    Reads the index once, to find out which files there are. Raises :class:`InputError` for an index without
    the columns of one, a condition that means nothing there, and one that chooses nothing.
    """
    path, offset, length = (F.col(name) for name in _COLUMNS)
    rows = _matching_rows(spark, settings)
    selected = rows.select(path, offset.cast("long"), length.cast("long")).na.drop()
    counts = {row[0]: row[1] for row in selected.groupBy(path).count().collect()}
    if not counts:
        raise InputError(
            f"input.index.where = {settings.index.where!r}: selects no record of {settings.index.path}; "
            "change the condition"
        )
    base = storage.absolute(settings.commoncrawl)
    paths = {name: storage.join(base, name) for name in counts}
    names = unique_names(list(paths.values()))
    files = spark.createDataFrame(
        [(name, path, names[path]) for name, path in paths.items()],
        "warc_filename string, path string, file_name string",
    )
    needed = sum(counts.values()) // RECORDS_PER_TASK
    tasks = settings.partitions or max(spark.sparkContext.defaultParallelism, needed)
    block = F.floor(offset / BLOCK_BYTES)
    partitioned = selected.withColumn("block", block).repartition(tasks, path, "block")
    # An index may name a record twice.
    partitioned = partitioned.dropDuplicates(["warc_filename", "block", "warc_record_offset"])
    return (
        partitioned.join(F.broadcast(files), "warc_filename")
        .select(
            "path",
            "file_name",
            F.lit("warc").alias("format"),
            F.lit(settings.source or _DEFAULT_SOURCE).alias("source"),
            offset.alias("start"),
            length.alias("length"),
        )
        .sortWithinPartitions("file_name", "start")
    )


def _matching_rows(spark: SparkSession, settings: InputConfig) -> DataFrame:
    """Return the index's rows that satisfy the condition."""
    index = settings.index
    path = storage.absolute(index.path)
    as_glob = storage.spark_literal if storage.exists(path) else storage.spark_path
    table = spark.read.parquet(as_glob(path))
    if missing := [name for name in _COLUMNS if name not in table.columns]:
        raise InputError(
            f"{index.path}: no column {missing[0]!r}, which an index needs; its columns are "
            f"{', '.join(table.columns)}; set input.index.path to an index"
        )
    # The error is shown as one line; without this, Spark logs it as JSON too.
    PySparkLogger.getLogger("SQLQueryContextLogger").setLevel("CRITICAL")
    try:
        return table.where(index.where) if index.where else table
    except AnalysisException as error:
        problem = str(error).partition(" SQLSTATE")[0].partition("\n")[0].rstrip(".")
        raise InputError(
            f"input.index.where = {index.where!r}: {problem}; the index has {', '.join(table.columns)}; "
            "correct the condition"
        ) from None

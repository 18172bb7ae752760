"""Parquet tables: written and read by Spark, and described for the manifest in tasks."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from core import storage
from core.errors import InputError
from core.manifest import FileEntry
from pipeline.spark.steps import part, step

ENTRY = pa.schema(
    [("path", pa.string()), ("size", pa.int64()), ("rows", pa.int64()), ("sha256", pa.string())]
)
"""Columns of :class:`~core.manifest.FileEntry`."""


SMALL_TABLE = 1 << 24
"""Bytes of a table up to which hashing it in the driver is faster than starting tasks."""
_NO_MARK = {"mapreduce.fileoutputcommitter.marksuccessfuljobs": "false"}
"""Omits ``_SUCCESS``: the manifest marks success."""
_NO_CHECKSUMS = {
    "fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
    "fs.file.impl.disable.cache": "true",
}
"""Omits ``.crc`` files on local disks: the manifest has checksums."""


def write(table: DataFrame, folder: str) -> None:
    """Write a table, replacing what an earlier attempt left in the folder. It holds only Parquet files."""
    options = _NO_MARK | (_NO_CHECKSUMS if storage.is_local(folder) else {})
    with part(f"writing {storage.name(folder)}"):
        table.write.mode("overwrite").options(**options).parquet(storage.spark_path(folder))


@contextmanager
def timed(folder: str, title: str) -> Iterator[None]:
    """Run the block as a step; when it succeeds, write ``<folder>.done`` with the title and the seconds.

    The folder's name is the name of the step (:func:`pipeline.spark.steps.step`).
    """
    started = time.monotonic()
    with step(storage.name(folder), title):
        yield
    write_timing(folder, title, time.monotonic() - started)


def write_timing(folder: str, title: str, seconds: float) -> None:
    """Write ``<folder>.done``, which marks a finished step and says how long it took, for the report."""
    timing = {"title": title, "seconds": round(seconds, 1)}
    storage.write_atomic(f"{folder}.done", json.dumps(timing, ensure_ascii=False).encode())


def read_timing(folder: str) -> tuple[str, float] | None:
    """Return the title and seconds of the step that :func:`timed` recorded for a folder, if any."""
    mark = f"{folder}.done"
    if not (recorded := storage.read_bytes(mark) if storage.exists(mark) else b""):
        return None
    timing = json.loads(recorded)
    return timing["title"], timing["seconds"]


def write_once(folder: str, make: Callable[[str], None], title: str) -> None:
    """Make an intermediate table, unless ``<folder>.done`` shows that an earlier attempt finished it."""
    if storage.exists(f"{folder}.done"):
        print(f"{title}: finished by an earlier attempt")
        return
    with timed(folder, title):
        make(folder)


def read(spark: SparkSession, folder: str, schema: pa.Schema) -> DataFrame:
    """Read a table with an explicit Arrow schema, which makes empty tables readable too."""
    return spark.read.schema(from_arrow_schema(schema)).parquet(storage.spark_literal(folder))


def read_if_exists(spark: SparkSession, folder: str, schema: pa.Schema) -> DataFrame:
    """Read a table, which is empty if its folder does not exist."""
    if storage.exists(folder):
        return read(spark, folder, schema)
    return spark.createDataFrame([], from_arrow_schema(schema))


def checkpoint(spark: SparkSession, table: DataFrame, folder: str) -> DataFrame:
    """Write and read back. This truncates the query plan and survives the loss of an executor."""
    write(table, folder)
    return spark.read.schema(table.schema).parquet(storage.spark_literal(folder))


def parallelize(
    spark: SparkSession, rows: Sequence[tuple[Any, ...]], schema: pa.Schema, tasks: int
) -> DataFrame:
    """Distribute a few driver rows over ``tasks`` partitions, contiguous and of nearly equal row counts."""
    numbered = [(index * tasks // max(1, len(rows)), *row) for index, row in enumerate(rows)]
    columns = from_arrow_schema(pa.schema([("task", pa.int32()), *schema]))
    frame = spark.createDataFrame(numbered, columns)
    return frame.repartitionByRange(tasks, "task").drop("task")


def parquet_files(folder: str) -> list[str]:
    """Return the Parquet files of a table. A partitioned table without rows has none."""
    return [file.path for file in _parquet_files(folder)]


def _parquet_files(folder: str) -> list[storage.FileInfo]:
    try:
        return [file for file in storage.list_files(folder) if file.path.endswith(".parquet")]
    except InputError:
        return []


def file_entries(spark: SparkSession, folder: str, subfolder: str) -> list[FileEntry]:
    """Return size, rows and SHA-256 of every Parquet file in ``folder/subfolder``, sorted by path."""
    files = _parquet_files(storage.join(folder, subfolder))
    paths = [file.path for file in files]
    if not paths:
        return []
    start = paths[0].rindex(f"/{subfolder}/") + 1

    def entry(path: str) -> FileEntry:
        size, sha256 = storage.checksum(path)
        with storage.open_read(path) as stream:
            rows = pq.ParquetFile(stream).metadata.num_rows
        return FileEntry(path=path[start:], size=size, rows=rows, sha256=sha256)

    def describe(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for path in (path for batch in batches for path in batch.column("path").to_pylist()):
            yield pa.RecordBatch.from_pylist([entry(path).model_dump()], schema=ENTRY)

    if sum(file.size for file in files) <= SMALL_TABLE:
        return [entry(path) for path in sorted(paths)]
    tasks = min(len(paths), spark.sparkContext.defaultParallelism)
    listed = parallelize(spark, [(path,) for path in paths], pa.schema([("path", pa.string())]), tasks)
    described = listed.mapInArrow(describe, from_arrow_schema(ENTRY)).collect()
    entries = [FileEntry(**row.asDict()) for row in described]
    return sorted(entries, key=lambda entry: entry.path)

"""Parquet tables: written and read by Spark, and described for the manifest in tasks."""

import hashlib
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from core import storage
from core.errors import InputError, MissingFileError, OutputError
from core.manifest import FileEntry
from core.storage import locks
from pipeline.spark.steps import part, step

ENTRY = pa.schema(
    [("path", pa.string()), ("size", pa.int64()), ("rows", pa.int64()), ("sha256", pa.string())]
)
"""Columns of :class:`~core.manifest.FileEntry`."""


BATCH_BYTES = 1 << 25
"""Bytes of an Arrow batch that holds several rows."""
FILES = ".files"
"""Ending of the list of an intermediate table's files, which is beside it."""
SMALL_TABLE = 1 << 24
"""Bytes of a table up to which hashing it in the driver is faster than starting tasks."""
_JOB = re.compile(r"/part-\d+-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})[^/]*$")
"""Name that Spark gives to a file of a table: the number of the task, and an id of the job."""
_NO_MARK = {"mapreduce.fileoutputcommitter.marksuccessfuljobs": "false"}
"""Omits ``_SUCCESS``: the manifest marks success."""
_NO_CHECKSUMS = {
    "fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
    "fs.file.impl.disable.cache": "true",
}
"""Omits ``.crc`` files on local disks: the manifest has checksums."""


def write(table: DataFrame, folder: str, name: str = "") -> None:
    """Write a table, replacing what an earlier attempt left in the folder. It holds only Parquet files.

    ``name`` is shown; by default that of the folder.
    """
    locks.check(folder)
    options = _NO_MARK | (_NO_CHECKSUMS if storage.is_local(folder) else {})
    with part(f"writing {name or storage.name(folder)}"):
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
    locks.check(folder)
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
        locks.check(folder)
        storage.write_atomic(f"{folder}{FILES}", _describe_files(folder))


def write_portions(
    folder: str, portions: Sequence[Callable[[], DataFrame]], process: Callable[[DataFrame], DataFrame]
) -> None:
    """Write ``process`` of each portion into ``folder``, except for those that an earlier attempt finished.

    A portion is a Spark job with a folder of its own, ``portion=00000`` and so on, and a mark in
    ``<folder>.portions``, which describes its files and holds for no others. Raises :class:`OutputError` if
    another Spark job wrote to the same portion, which the next attempt then writes again.
    """
    for number, portion in enumerate(portions):
        own, mark = f"{folder}/portion={number:05d}", f"{folder}.portions/{number:05d}"
        name = storage.name(folder)
        name += f", portion {number + 1} of {len(portions)}" if len(portions) > 1 else ""
        is_finished = storage.exists(mark) and storage.read_bytes(mark) == _describe_files(own)
        if is_finished and not several_jobs(parquet_files(own)):
            print(f"{name}: finished by an earlier attempt")
            continue
        write(process(portion()), own, name)
        if problem := several_jobs(parquet_files(own)):
            raise OutputError(f"{own}: {problem}; run it again")
        locks.check(mark)
        storage.write_atomic(mark, _describe_files(own))


def several_jobs(paths: Sequence[str], *, by_folder: bool = False) -> str:
    """Return the problem if several Spark jobs wrote the files of one table, or one folder, else nothing."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for path in paths:
        if match := _JOB.search(path):
            found[path[: match.start()] if by_folder else ""][match[1]] = path
    for jobs in found.values():
        if len(jobs) > 1:
            examples = " and ".join(sorted(map(storage.name, jobs.values()))[:2])
            return f"{len(jobs)} Spark jobs wrote to it ({examples}), two drivers or a leftover"
    return ""


def is_changed(folder: str) -> bool:
    """True if an intermediate table does not consist of the files that :func:`write_once` left there."""
    listed = f"{folder}{FILES}"
    return storage.exists(listed) and storage.read_bytes(listed) != _describe_files(folder)


def _describe_files(folder: str) -> bytes:
    """Return number, bytes and a hash of the names and sizes of the files of a table."""
    files = sorted((storage.name(file.path), file.size) for file in list_parquet(folder))
    described = {"files": len(files), "bytes": sum(size for _, size in files), "fingerprint": ""}
    described["fingerprint"] = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    return json.dumps(described).encode()


def read(spark: SparkSession, folder: str, schema: pa.Schema) -> DataFrame:
    """Read a table with an explicit Arrow schema, which makes empty tables readable too."""
    found = spark.read.schema(from_arrow_schema(schema)).parquet(storage.spark_literal(folder))
    return found.select(*schema.names)  # without the number of the portion


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
    bounds = [len(rows) * task // tasks for task in range(tasks + 1)]
    return parallelize_groups(spark, [rows[start:end] for start, end in pairwise(bounds)], schema)


def parallelize_groups(
    spark: SparkSession, groups: Sequence[Sequence[tuple[Any, ...]]], schema: pa.Schema
) -> DataFrame:
    """Distribute driver rows, a partition for each group."""
    numbered = [(task, *row) for task, rows in enumerate(groups) for row in rows]
    columns = from_arrow_schema(pa.schema([("task", pa.int32()), *schema]))
    frame = spark.createDataFrame(numbered, columns)
    return frame.repartitionById(len(groups), "task").drop("task")


def read_batches(path: str, columns: Sequence[str], rows: int = 1024) -> Iterator[pa.RecordBatch]:
    """Yield columns of a Parquet file in batches of at most ``rows`` rows, and of bounded size."""
    with storage.open_read(path) as stream:
        file = pq.ParquetFile(stream)
        for group in range(file.num_row_groups):
            described = file.metadata.row_group(group)
            chunks = (described.column(index) for index in range(described.num_columns))
            wanted = (each for each in chunks if each.path_in_schema.partition(".")[0] in columns)
            size = sum(each.total_uncompressed_size for each in wanted)
            fitting = max(1, BATCH_BYTES * described.num_rows // max(1, size))
            yield from file.iter_batches(min(rows, fitting), row_groups=[group], columns=list(columns))


def parquet_files(folder: str) -> list[str]:
    """Return the Parquet files of a table. A partitioned table without rows has none.

    Raises :class:`InputError` if a part of the folder cannot be read, and
    :class:`~core.errors.UnavailableError` if its storage fails: neither is an empty table.
    """
    return [file.path for file in list_parquet(folder)]


def list_parquet(folder: str) -> list[storage.FileInfo]:
    """Return the Parquet files of a table, none if there is nothing; raise what makes one unreadable."""
    try:
        listing = storage.scan(folder)
    except MissingFileError:
        return []
    for path, cause in listing.skipped.items():
        if cause != storage.HIDDEN:
            raise InputError(
                f"{path}: cannot be read ({cause}), but may be a part of a table; make it readable"
            )
    return [file for file in listing.files if file.path.endswith(".parquet")]


def file_entries(spark: SparkSession, folder: str, subfolder: str) -> list[FileEntry]:
    """Return size, rows and SHA-256 of every Parquet file in ``folder/subfolder``, sorted by path."""
    files = list_parquet(storage.join(folder, subfolder))
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

"""List the input files and cut them into splits, before anything is written.

The driver lists the files. It opens a few of them itself, to detect their formats; many are opened in tasks.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass, field
from functools import partial

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from core import storage
from core.config import InputConfig
from core.errors import ConfigError, UnavailableError
from pipeline.readers import commoncrawl
from pipeline.readers.grouping import MIN_TASKS, cut_portions, group_splits
from pipeline.readers.inputs import (
    IO_THREADS,
    InputFile,
    check_kept,
    index_files,
    plan,
    split_in_threads,
    try_split,
)
from pipeline.readers.record import InputSplit
from pipeline.spark import index, tables

SPLIT_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("file_name", pa.string()),
        ("format", pa.string()),
        ("source", pa.string()),
        ("start", pa.int64()),
        ("length", pa.int64()),
    ]
)

TASKS_PER_CORE = 8
"""Tasks for each core, if the input is large enough: a core that is done early takes over those of others."""
FEW_FILES = 64
"""Number of files up to which opening them in the driver is faster than starting tasks."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs of a run."""

    files: list[InputFile]
    """Raw files, or the files of the index that selects records."""
    portions: Sequence[Callable[[], DataFrame]]
    """Each returns rows of ``SPLIT_SCHEMA``, partitioned into tasks; one at least."""
    splits: Callable[[], DataFrame]
    """Returns the rows of all portions together."""
    title: str
    """Description for progress messages."""
    formats: Mapping[str, str]
    """A file of each format."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """The cause for each path that is named but not read."""


def plan_inputs(spark: SparkSession, settings: InputConfig) -> Inputs:
    """List and check the inputs.

    Raises :class:`ConfigError` unless exactly one of paths and an index is set, and for columns to keep
    without a table; :class:`InputError` for a path without files and for a named file that is not in the
    expected format.
    """
    _check_one_is_set(settings)
    if settings.index.path:
        check_kept([], settings.keep_columns)
        files = index_files(settings)  # first: its errors say what is wrong with a file
        selected = index.select_records(spark, settings)
        formats = {"warc": settings.index.path}
        return Inputs(files, [lambda: selected], lambda: selected, "records of an index", formats)
    planned = plan(settings, partial(_split, spark))
    distribute = partial(_distribute, spark, settings)
    cut = cut_portions(planned.splits, settings.portion_bytes)
    portions, together = [partial(distribute, each) for each in cut], partial(distribute, planned.splits)
    title = f"{len(planned.files):,} file{'s' if len(planned.files) > 1 else ''}"
    formats = {split.format: split.path for split in reversed(planned.splits)}
    return Inputs(planned.files, portions, together, title, formats, planned.skipped)


def _distribute(spark: SparkSession, settings: InputConfig, splits: list[InputSplit]) -> DataFrame:
    """Return the rows of the splits, partitioned into tasks."""
    if settings.partitions:
        rows = [astuple(split) for split in splits]
        return tables.parallelize(spark, rows, SPLIT_SCHEMA, settings.partitions)
    cores = spark.sparkContext.defaultParallelism  # too few while executors are still starting
    groups = group_splits(splits, settings.split_bytes, max(MIN_TASKS, TASKS_PER_CORE * cores))
    return tables.parallelize_groups(spark, [list(map(astuple, group)) for group in groups], SPLIT_SCHEMA)


def validate(settings: InputConfig) -> None:
    """Check the inputs as far as possible without Spark and without access to remote files.

    Raises :class:`ConfigError` as :func:`plan_inputs` does, and :class:`InputError` for a malformed
    ``commoncrawl:`` name or a local path that does not exist.
    """
    _check_one_is_set(settings)
    for path in settings.paths or (settings.index.path,):
        if path.startswith(commoncrawl.SCHEME):
            commoncrawl.parse(path, settings.commoncrawl)
        else:
            storage.check_local(path)


def _check_one_is_set(settings: InputConfig) -> None:
    if bool(settings.paths) == bool(settings.index.path):
        found = "both are set" if settings.paths else "neither is set"
        raise ConfigError(f"input.paths, input.index.path: one of them must say what to read; {found}")


def _split(
    spark: SparkSession, files: Sequence[InputFile], settings: InputConfig
) -> Iterable[list[InputSplit] | str]:
    if len(files) <= FEW_FILES:
        return split_in_threads(files, settings)
    return split_in_tasks(spark, files, settings)


def split_in_tasks(
    spark: SparkSession, files: Sequence[InputFile], settings: InputConfig
) -> list[list[InputSplit] | str]:
    """Open every file in a task and return the splits of each, none if it is empty, or its error.

    Raises :class:`UnavailableError` if the storage fails. It is raised here, not in the task, which has
    repeated its requests long enough.
    """

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with ThreadPoolExecutor(IO_THREADS) as pool:
            for batch in batches:
                listed = [InputFile(**each) for each in batch.to_pylist()]
                rows = [row for rows in pool.map(partial(_split_rows, settings), listed) for row in rows]
                yield pa.RecordBatch.from_pylist(rows, schema=with_error)

    with_error = pa.schema([*SPLIT_SCHEMA, ("error", pa.string()), ("unavailable", pa.bool_())])
    columns = pa.schema(
        [("path", pa.string()), ("file_name", pa.string()), ("size", pa.int64()), ("version", pa.string())]
    )
    tasks = min(len(files), spark.sparkContext.defaultParallelism)
    listed = tables.parallelize(spark, [astuple(file) for file in files], columns, tasks)
    results: dict[str, list[InputSplit] | str] = {file.path: [] for file in files}
    rows = listed.mapInArrow(run, from_arrow_schema(with_error)).collect()
    for row in sorted((row.asDict() for row in rows), key=lambda row: row["start"]):
        error, splits = row.pop("error"), results[row["path"]]
        if row.pop("unavailable"):
            raise UnavailableError(error)
        if isinstance(splits, list) and not error:
            splits.append(InputSplit(**row))
        else:
            results[row["path"]] = error
    return [results[file.path] for file in files]


def _split_rows(settings: InputConfig, file: InputFile) -> list[dict[str, object]]:
    """Return the rows of a file's splits, or one row with the error."""
    unavailable = False
    try:
        result = try_split(file, settings)
    except UnavailableError as error:
        result, unavailable = str(error), True
    if isinstance(result, str):
        failed = {"path": file.path, "file_name": file.file_name, "start": 0}
        return [failed | {"error": result, "unavailable": unavailable}]
    return [asdict(split) | {"error": None, "unavailable": False} for split in result]

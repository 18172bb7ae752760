"""The inputs: listed by the driver, and each opened and recognised in a task before anything is written."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass
from functools import partial

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from core import storage
from core.config import InputConfig
from core.errors import ConfigError, InputError
from pipeline.readers import commoncrawl
from pipeline.readers.inputs import IO_THREADS, InputFile, find_files, index_files, split_file
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


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a run reads."""

    files: list[InputFile]
    """The raw files, or those of the index that they are chosen by."""
    splits: DataFrame
    """Rows of ``SPLIT_SCHEMA``, partitioned as tasks are to read them."""
    title: str


def plan_inputs(spark: SparkSession, settings: InputConfig) -> Inputs:
    """The inputs, each known to be there and to be what it should be, or :class:`InputError`.

    Raises :class:`ConfigError` unless either paths or an index are given.
    """
    _check_one_is_set(settings)
    if settings.index.path:
        return Inputs(index_files(settings), index.select(spark, settings), "records of an index")
    files = find_files(settings)
    splits = detect_splits(spark, files, settings)
    rows = [astuple(split) for split in splits]
    tasks = settings.partitions or len(splits)
    return Inputs(files, tables.parallelize(spark, rows, SPLIT_SCHEMA, tasks), f"{len(files)} files")


def validate(settings: InputConfig) -> None:
    """Check the inputs as far as possible without Spark and without access to remote files.

    Raises :class:`ConfigError` like :func:`plan_inputs`, and :class:`InputError` for a malformed ``commoncrawl:``
    name and for local paths that do not exist.
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
        raise ConfigError(f"input.paths, input.index.path: exactly one of them must say what to read; {found}")


def detect_splits(spark: SparkSession, files: Sequence[InputFile], settings: InputConfig) -> list[InputSplit]:
    """The splits of all files, in the order of ``files``.

    Raises :class:`InputError` for the first file, by name, that is not what it should be.
    """

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with ThreadPoolExecutor(IO_THREADS) as pool:
            for batch in batches:
                listed = [InputFile(**each) for each in batch.to_pylist()]
                rows = [row for rows in pool.map(partial(_described, settings), listed) for row in rows]
                yield pa.RecordBatch.from_pylist(rows, schema=described)

    described = SPLIT_SCHEMA.append(pa.field("error", pa.string()))
    columns = pa.schema(
        [("path", pa.string()), ("file_name", pa.string()), ("size", pa.int64()), ("version", pa.string())]
    )
    tasks = min(len(files), spark.sparkContext.defaultParallelism)
    listed = tables.parallelize(spark, [astuple(file) for file in files], columns, tasks)
    rows = listed.mapInArrow(run, from_arrow_schema(described)).collect()
    ordered = sorted((row.asDict() for row in rows), key=lambda row: (row["file_name"], row["start"]))
    for row in ordered:
        if error := row.pop("error"):
            raise InputError(error)
    return [InputSplit(**row) for row in ordered]


def _described(settings: InputConfig, file: InputFile) -> list[dict[str, object]]:
    """The rows of a file's splits, or one that says why it has none."""
    try:
        return [asdict(split) | {"error": None} for split in split_file(file, settings)]
    except InputError as error:
        return [{"path": file.path, "file_name": file.file_name, "start": 0, "error": str(error)}]

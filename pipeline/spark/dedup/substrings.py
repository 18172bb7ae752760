"""Find the passages that several documents of a corpus have in common.

The method is in ``pipeline/dedup/substrings.py``. On Spark:

1. Each task computes the anchors of its texts and emits every anchor once per document. They are shuffled by
   anchor; those of several documents are written to a table with one folder per file of the records.
2. Each task reads the shared anchors of its files and emits the hashes of the windows that have one. They are
   shuffled by hash: a window is repeated in every document but the one with the smallest id.
3. Repeated windows are shuffled by document and merged into spans.

Texts take no part in a shuffle. A window or an anchor that occurs in n documents is n rows, which Spark sorts
outside memory if there are many.
"""

from collections.abc import Iterator
from functools import lru_cache, partial
from itertools import groupby

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from core import storage
from core.hashing import Hashes
from pipeline.dedup.arrays import contains
from pipeline.dedup.batches import text_batches
from pipeline.dedup.cuts import SUBSTRINGS
from pipeline.dedup.substrings import find_anchors, find_windows
from pipeline.spark import tables
from pipeline.spark.dedup.lines import FrequentLines, read_hashes
from pipeline.spark.dedup.spans import CUTS

_ANCHORS = pa.schema([("anchor", pa.int64()), ("file", pa.int64())])
_WINDOWS = pa.schema(
    [
        ("hash", pa.int64()),
        ("check", pa.int64()),
        ("part", pa.string()),
        ("id", pa.string()),
        ("start", pa.int64()),
        ("end", pa.int64()),
    ]
)


def find_repeated(survivors: DataFrame, excluded: FrequentLines, min_words: int, folder: str) -> DataFrame:
    """Return the spans of repeated passages, with the columns of :data:`CUTS`.

    ``survivors`` has columns part, id and text. ``folder`` keeps the shared anchors until the result has been
    computed; the caller removes it.
    """
    texts = survivors.select("part", "id", "text", F.xxhash64("part").alias("file"))
    _write_shared_anchors(texts, excluded, min_words, folder)
    find = partial(_windows, excluded=excluded, min_words=min_words, folder=folder)
    windows = texts.mapInArrow(find, from_arrow_schema(_WINDOWS))
    first = F.min("id").over(Window.partitionBy("hash", "check"))
    repeated = windows.withColumn("first", first).where("first < id")
    spans = _merge(repeated).groupBy("part", "id").agg(F.sort_array(F.collect_list("span")).alias("spans"))
    return spans.withColumn("reason", F.lit(SUBSTRINGS)).select(CUTS.names)


def _merge(windows: DataFrame) -> DataFrame:
    """Return the maximal spans that the windows of each document cover, a row (part, id, span) for each.

    Windows of a document that start later end later, since all have the same number of words.
    """
    in_order = Window.partitionBy("part", "id").orderBy("start")
    is_apart = F.coalesce(F.col("start") > F.lag("end").over(in_order), F.lit(True))
    number = F.sum(F.col("is_apart").cast("int")).over(in_order)
    numbered = windows.withColumn("is_apart", is_apart).withColumn("number", number)
    span = F.struct(F.min("start").alias("start"), F.max("end").alias("end"))
    return numbered.groupBy("part", "id", "number").agg(span.alias("span"))


def _write_shared_anchors(texts: DataFrame, excluded: FrequentLines, min_words: int, folder: str) -> None:
    """Write the anchors that several documents have, by the file that the documents are in."""
    find = partial(_anchors, excluded=excluded, min_words=min_words)
    anchors = texts.select("file", "text").mapInArrow(find, from_arrow_schema(_ANCHORS))
    documents = F.count("*").over(Window.partitionBy("anchor"))
    shared = anchors.withColumn("documents", documents).where("documents > 1").select("anchor", "file")
    by_file = shared.repartition("file").write.mode("overwrite").partitionBy("file")
    by_file.parquet(storage.spark_path(folder))


def _anchors(
    batches: Iterator[pa.RecordBatch], excluded: FrequentLines, min_words: int
) -> Iterator[pa.RecordBatch]:
    for file, rows in _by_file(batches):
        for batch in text_batches(rows["text"].to_pylist()):
            anchors = find_anchors(batch, excluded.find(batch), min_words)
            columns = [anchors.view(np.int64), np.full(len(anchors), file)]
            yield pa.RecordBatch.from_arrays(columns, schema=_ANCHORS)


def _windows(
    batches: Iterator[pa.RecordBatch], excluded: FrequentLines, min_words: int, folder: str
) -> Iterator[pa.RecordBatch]:
    for file, rows in _by_file(batches):
        is_shared = partial(contains, _read_anchors(tuple(tables.parquet_files(f"{folder}/file={file}"))))
        for batch in text_batches(rows["text"].to_pylist()):
            found = find_windows(batch, excluded.find(batch), min_words, is_shared)
            documents = pa.array(found.documents)
            columns = [
                found.hashes.view(np.int64),
                found.checks.view(np.int64),
                rows["part"].take(documents),
                rows["id"].take(documents),
                found.starts,
                found.ends,
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=_WINDOWS)


@lru_cache(maxsize=1)
def _read_anchors(files: tuple[str, ...]) -> Hashes:
    """Read the shared anchors of a file of the records once for successive batches of it."""
    return read_hashes(files)


def _by_file(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Split batches where the file changes."""
    for batch in batches:
        start = 0
        for file, rows in groupby(batch["file"].to_pylist()):
            length = len(list(rows))
            yield file, batch.slice(start, length)
            start += length

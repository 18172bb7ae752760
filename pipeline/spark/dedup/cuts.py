"""Find the parts of documents that other documents repeat: first lines, then passages in what is left."""

from collections.abc import Iterator
from functools import partial

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from core.config import DedupConfig
from pipeline.dedup.batches import text_batches
from pipeline.dedup.cuts import LINES, DocumentSpans
from pipeline.spark.dedup.lines import FrequentLines, find_frequent_lines
from pipeline.spark.dedup.spans import CUTS, to_rows
from pipeline.spark.dedup.substrings import find_repeated


def find_cuts(spark: SparkSession, survivors: DataFrame, settings: DedupConfig, work: str) -> DataFrame:
    """Return the spans that ``dedup.lines`` and ``dedup.substrings`` find, with the columns of :data:`CUTS`.

    ``survivors`` has columns part (file of the records), id, text, url and path (of the input file), without
    duplicates; every scan reads it again. A document has a row for each reason, and spans of different
    reasons do not overlap. The result is lazy: intermediate tables in the folder ``work`` must stay until it
    has been written; the caller removes them.
    """
    cuts = spark.createDataFrame([], from_arrow_schema(CUTS))
    lines = find_frequent_lines(survivors, settings.lines, f"{work}/lines")
    if lines.files:
        find = partial(_line_cuts, lines=lines)
        texts = survivors.select("part", "id", "text")
        cuts = texts.mapInArrow(find, from_arrow_schema(CUTS))
    if settings.substrings.min_words:
        repeated = find_repeated(survivors, lines, settings.substrings.min_words, f"{work}/anchors")
        cuts = cuts.unionByName(repeated)
    return cuts


def _line_cuts(batches: Iterator[pa.RecordBatch], lines: FrequentLines) -> Iterator[pa.RecordBatch]:
    for rows in batches:
        for batch in text_batches(rows["text"].to_pylist()):
            found = lines.find(batch)
            offsets = batch.offsets(found.documents)
            spans = DocumentSpans(found.documents, found.starts - offsets, found.ends - offsets)
            yield to_rows(spans, rows, LINES)

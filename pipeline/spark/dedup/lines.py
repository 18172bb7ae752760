"""Count lines over a corpus and find those that many documents repeat.

1. Each task hashes the lines of its texts and emits the number of documents for every line and host.
2. The sums are shuffled by line; lines of enough documents and hosts are written to a table.
3. Tasks that look for frequent lines read that table, once per process: 8 bytes a line.

Texts take no part in a shuffle, and nothing but the paths of the table reaches the driver.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from core import storage
from core.config.dedup import LinesConfig
from core.hashing import Hashes
from pipeline.analysis.arrays import Positions
from pipeline.dedup.arrays import Pairs
from pipeline.dedup.batches import TextBatch, text_batches
from pipeline.dedup.cuts import DocumentSpans
from pipeline.dedup.lines import add_up, count_lines, frequent_lines
from pipeline.filters import url
from pipeline.spark import tables

_COUNTS = pa.schema([("line", pa.int64()), ("host", pa.int64()), ("documents", pa.int64())])


@dataclass(frozen=True, slots=True)
class FrequentLines:
    """Lines to remove, as tasks receive them: the files that list their hashes."""

    files: tuple[str, ...] = ()
    min_characters: int = 1

    def find(self, batch: TextBatch) -> DocumentSpans:
        """Return the frequent lines of a batch. Offsets are those of the batch."""
        if not self.files:
            none = np.zeros(0, np.int64)
            return DocumentSpans(none, none, none)
        return frequent_lines(batch, _read_lines(self.files), self.min_characters)


def find_frequent_lines(survivors: DataFrame, settings: LinesConfig, folder: str) -> FrequentLines:
    """Write the frequent lines of ``survivors`` (columns text, url, path) to ``folder``."""
    if not settings.min_documents:
        return FrequentLines()
    count = partial(_count, settings=settings)
    counts = survivors.select("text", "url", "path").mapInArrow(count, from_arrow_schema(_COUNTS))
    # Tasks have added up what they can: one shuffle by line serves both sums.
    by_host = counts.repartition("line").groupBy("line", "host").agg(F.sum("documents").alias("documents"))
    by_line = by_host.groupBy("line").agg(F.sum("documents").alias("documents"), F.count("*").alias("hosts"))
    is_frequent = (F.col("documents") >= settings.min_documents) & (F.col("hosts") >= settings.min_hosts)
    tables.write(by_line.where(is_frequent).select("line"), folder)
    return FrequentLines(tuple(tables.parquet_files(folder)), settings.min_characters)


def _count(batches: Iterator[pa.RecordBatch], settings: LinesConfig) -> Iterator[pa.RecordBatch]:
    for lines, hosts, documents in add_up(_counts(batches, settings)):
        yield pa.RecordBatch.from_arrays([lines.view(np.int64), hosts, documents], schema=_COUNTS)


def _counts(batches: Iterator[pa.RecordBatch], settings: LinesConfig) -> Iterator[Pairs]:
    for rows in batches:
        hosts = np.zeros(rows.num_rows, np.int64)
        if settings.min_hosts > 1:
            hosts = _hosts(rows["url"].to_pylist(), rows["path"].to_pylist())
        for batch in text_batches(rows["text"].to_pylist()):
            yield count_lines(batch, hosts, settings.min_characters)


def _hosts(urls: Sequence[str | None], paths: Sequence[str]) -> Positions:
    """Return a hash of the host of each address, without ``www.``, or of the path of the file if none."""
    hosts = (url.site(each or "") for each in urls)
    names = (host or path for host, path in zip(hosts, paths, strict=True))
    digests = b"".join(blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(digests, "<i8")


@lru_cache(maxsize=1)
def _read_lines(files: tuple[str, ...]) -> Hashes:
    """Read the frequent lines once per process. File names are unique for every write."""
    return read_hashes(files)


def read_hashes(files: Sequence[str]) -> Hashes:
    """Return the sorted hashes in the first column of Parquet files."""
    columns = []
    for path in files:
        with storage.open_read(path) as stream:
            columns.append(pq.read_table(stream).column(0).to_numpy())
    return np.sort(np.concatenate([*columns, np.zeros(0, np.int64)]).view(np.uint64))

"""Nodes of the graph of documents: the number of a file of the table of records, and the row in it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from core import storage
from pipeline.spark import tables

ROW_BITS = 32
"""Bits of a node for the row; the bits above are the number of the file."""


def read_part(path: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Yield columns of a file of the table of records, in order."""
    with storage.open_read(path) as stream:
        yield from pq.ParquetFile(stream).iter_batches(1 << 13, columns=columns)


def node(number: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the nodes of rows of a file."""
    return (number << ROW_BITS) | rows


@dataclass(frozen=True, slots=True)
class Parts:
    """The files of a table of records."""

    files: DataFrame
    """``path`` and ``number``, in the order of the paths."""
    count: int

    def with_rows(self, nodes: DataFrame | None, *, excluded: bool = False) -> DataFrame:
        """Return ``path`` and ``number`` of the files with their ``rows`` among the nodes, a task for each.

        ``roots`` are the nodes' roots, if they have them. Files without such rows are left out, unless the
        rows are to be ``excluded``.
        """
        columns: list[Column | str] = ["path", "number", "rows", "roots", F.lit(excluded).alias("excluded")]
        if nodes is None:
            nothing = F.lit(None).cast("array<long>")
            return self.files.withColumns({"rows": nothing, "roots": nothing}).select(columns)
        file, row = F.shiftright("node", ROW_BITS), F.col("node").bitwiseAND(F.lit((1 << ROW_BITS) - 1))
        root = F.col("root") if "root" in nodes.columns else F.lit(None).cast("long").alias("root")
        found = nodes.groupBy(file.cast("long").alias("number")).agg(
            F.sort_array(F.collect_list(F.struct(row.alias("row"), root))).alias("found")
        )
        joined = self.files.join(found, "number", "left" if excluded else "inner")
        in_columns = joined.withColumns({"rows": F.col("found.row"), "roots": F.col("found.root")})
        return in_columns.repartitionById(self.count, F.col("number").cast("int")).select(columns)


def parts_of(spark: SparkSession, folder: str) -> Parts:
    """List the files of a table of records."""
    rows = [(path, number) for number, path in enumerate(sorted(tables.parquet_files(folder)))]
    columns = pa.schema([("path", pa.string()), ("number", pa.int64())])
    count = max(1, len(rows))
    return Parts(tables.parallelize(spark, rows, columns, count), count)

"""Nodes of the graph of documents: the number of a file of the table of records, and the row in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from core.errors import MissingFileError
from pipeline.dedup.minhash import joined_keys
from pipeline.spark import tables

ROW_BITS = 32
"""Bits of a node for the row; the bits above are the number of the file."""
KEYED = pa.schema([("key", pa.int64()), ("node", pa.int64())])
"""Keys of documents with their nodes."""
STARRED = pa.schema([*KEYED, ("first", pa.int64())])
"""The same, with edges of the graph instead where ``first`` is not null: from ``node`` to it."""


def read_part(path: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Return batches of columns of a file of the table of records, in order."""
    return tables.read_batches(path, columns, 1 << 13)


def read_keys(batches: Iterator[pa.RecordBatch], joined: int = 1) -> Iterator[pa.RecordBatch]:
    """Yield the keys of the documents in each file, with their nodes: rows of :data:`KEYED`.

    Arrow batches have the columns of :meth:`Parts.with_rows`. ``joined``: bands that are joined into one key.
    """
    for part in (part for batch in batches for part in batch.to_pylist()):
        listed, row = np.array(part["rows"] or (), np.int64), 0
        for batch in read_part(part["path"], ["reason", "error", "keys"]):
            chosen = np.full(batch.num_rows, part["excluded"])
            first, past = listed.searchsorted([row, row + batch.num_rows])
            chosen[listed[first:past] - row] ^= True
            for name in {"reason", "error"} & set(batch.schema.names):  # an index has none
                chosen &= np.asarray(batch[name].is_null())
            keys = batch["keys"].filter(pa.array(chosen))
            if joined > 1:
                keys = pa.array([joined_keys(each, joined) for each in keys.to_pylist()], keys.type)
            nodes = node(part["number"], row + chosen.nonzero()[0])
            repeated = np.repeat(nodes, np.asarray(keys.value_lengths()))
            yield pa.RecordBatch.from_arrays([keys.flatten(), pa.array(repeated)], schema=KEYED)
            row += batch.num_rows


def read_stars(batches: Iterator[pa.RecordBatch], joined: int = 1) -> Iterator[pa.RecordBatch]:
    """Yield the keys of :func:`read_keys`, each once a batch, and edges: rows of :data:`STARRED`.

    The edges connect the documents of a batch that share a key with the first of them. A key that half of all
    documents have is thus a row for some thousands of them, and the task that it comes to is no larger than
    others.
    """
    for keyed in read_keys(batches, joined):
        keys, nodes = (np.asarray(column) for column in keyed.columns)
        _, positions, numbers = np.unique(keys, return_index=True, return_inverse=True)
        firsts = nodes[positions][numbers]
        positions.sort()
        edges = np.unique(np.stack([nodes, firsts])[:, nodes != firsts], axis=1)
        columns = [
            np.concatenate([keys[positions], edges[0]]),
            np.concatenate([nodes[positions], edges[0]]),
            pa.concat_arrays([pa.nulls(len(positions), pa.int64()), pa.array(edges[1], pa.int64())]),
        ]
        yield pa.RecordBatch.from_arrays([pa.array(each, pa.int64()) for each in columns], schema=STARRED)


def read_text_keys(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the key of the text of each chosen document: rows of :data:`KEYED`."""
    for part in (part for batch in batches for part in batch.to_pylist()):
        keys = pa.Table.from_batches(read_part(part["path"], ["keys"])).column("keys").take(part["rows"])
        nodes = node(part["number"], np.array(part["rows"]))
        first = pc.list_element(keys.combine_chunks(), 0)
        yield pa.RecordBatch.from_arrays([first, pa.array(nodes)], schema=KEYED)


def node(number: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the nodes of rows of a file."""
    return (number << ROW_BITS) | rows


@dataclass(frozen=True, slots=True)
class Parts:
    """The files of a table of records, and those of the signatures of an index."""

    files: DataFrame
    """``path``, ``number`` and ``generation`` of an index (empty: of the records, which come first)."""
    count: int
    num_records: int
    """Number of files of records."""

    def records(self) -> DataFrame:
        """Return the files of records."""
        return self.files.where("generation = ''")

    def with_rows(self, nodes: DataFrame | None, *, excluded: bool = False) -> DataFrame:
        """Return ``path`` and ``number`` of the files with their ``rows`` among the nodes, a task for each.

        ``roots`` are the nodes' roots, if they have them. Files without such rows are left out, unless the
        rows are to be ``excluded``: then all files of records are returned.
        """
        columns: list[Column | str] = [
            "path",
            "number",
            "generation",
            "rows",
            "roots",
            F.lit(excluded).alias("excluded"),
        ]
        if nodes is None:
            nothing = F.lit(None).cast("array<long>")
            return self.records().withColumns({"rows": nothing, "roots": nothing}).select(columns)
        file, row = F.shiftright("node", ROW_BITS), F.col("node").bitwiseAND(F.lit((1 << ROW_BITS) - 1))
        root = F.col("root") if "root" in nodes.columns else F.lit(None).cast("long").alias("root")
        found = nodes.groupBy(file.cast("long").alias("number")).agg(
            F.sort_array(F.collect_list(F.struct(row.alias("row"), root))).alias("found")
        )
        files = self.records() if excluded else self.files
        joined = files.join(found, "number", "left" if excluded else "inner")
        in_columns = joined.withColumns({"rows": F.col("found.row"), "roots": F.col("found.root")})
        return in_columns.repartitionById(self.count, F.col("number").cast("int")).select(columns)


def parts_of(spark: SparkSession, folder: str, indexed: Sequence[tuple[str, str]] = ()) -> Parts:
    """Number the files of a table of records, and after them the ``indexed`` files, given with generation.

    Raises :class:`MissingFileError` if the table has no files: Spark writes one even if there are no rows.
    """
    records = sorted(tables.parquet_files(folder))
    if not records:
        raise MissingFileError(f"{folder}: no Parquet files, but a table was written there; run this again")
    paths = [*((path, "") for path in records), *indexed]
    rows = [(path, number, generation) for number, (path, generation) in enumerate(paths)]
    columns = pa.schema([("path", pa.string()), ("number", pa.int64()), ("generation", pa.string())])
    count = max(1, len(rows))
    return Parts(tables.parallelize(spark, rows, columns, count), count, len(records))

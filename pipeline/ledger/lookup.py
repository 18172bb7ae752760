"""Rows of a finished run's tables by key, on whatever storage, without Spark.

Only the columns that a condition speaks of are read of a whole table; the rest is read where it holds.
"""

from typing import Any

import pyarrow.dataset as ds

from core import storage
from pipeline.ledger.tables import files


def table(run: str, name: str) -> ds.Dataset:
    """A table of the run. Raises :class:`InputError` if it is not there."""
    paths = [storage.filesystem(path)[1] for path in files(run, name)]
    return ds.dataset(paths, filesystem=storage.filesystem(run)[0])


def rows(of: ds.Dataset, where: ds.Expression, columns: list[str] | None = None) -> list[dict[str, Any]]:
    """The rows that ``where`` holds for: all their columns, or some."""
    hits = of.to_table(columns=["__filename"], filter=where)
    paths = set(hits["__filename"].to_pylist())
    found: list[dict[str, Any]] = []
    for file in of.get_fragments():
        if file.path in paths:
            for group in file.split_by_row_group():
                if group.count_rows(filter=where):
                    found += group.to_table(columns=columns, filter=where).to_pylist()
    return found

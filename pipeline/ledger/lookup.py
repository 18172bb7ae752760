"""Look up rows of a finished run's tables by key, on any storage, without Spark.

A lookup reads the condition's columns of the whole table, and other columns only of matching row groups.
"""

from typing import Any

import pyarrow.dataset as ds

from core import storage
from pipeline.ledger.tables import files


def open_table(run: str, name: str) -> ds.Dataset:
    """Open a table of the run. Raises :class:`InputError` if it has no files."""
    paths = [storage.filesystem(path)[1] for path in files(run, name)]
    return ds.dataset(paths, filesystem=storage.filesystem(run)[0])


def find_rows(
    dataset: ds.Dataset, condition: ds.Expression, columns: list[str] | None = None
) -> list[dict[str, Any]]:
    """Return the rows that satisfy the condition, with all columns or the given ones."""
    hits = dataset.to_table(columns=["__filename"], filter=condition)
    paths = set(hits["__filename"].to_pylist())
    found: list[dict[str, Any]] = []
    for file in dataset.get_fragments():
        if file.path in paths:
            for group in file.split_by_row_group():
                if group.count_rows(filter=condition):
                    found += group.to_table(columns=columns, filter=condition).to_pylist()
    return found

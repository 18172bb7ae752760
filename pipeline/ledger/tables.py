"""The tables of the account, as Parquet holds them."""

import pyarrow as pa

from core import storage
from core.errors import InputError

RECORDS, COPIES, LEDGER = "analysis/records", "analysis/copies", "ledger"
"""Folders of a clean run: what the one pass found, which documents have copies, the account."""


def schema() -> pa.Schema:
    """One row per input record that could be read. ``sample``: first characters of some dropped texts."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("source", pa.string()),
            ("url", pa.string()),
            ("stage", pa.string()),
            ("kept", pa.bool_()),
            ("reason", pa.string()),
            ("value", pa.float64()),
            ("threshold", pa.float64()),
            ("duplicate_of", pa.string()),
            ("sample", pa.string()),
        ]
    )


def quarantine_schema() -> pa.Schema:
    """One row per record that could not be read: where it lies and what was wrong."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("source", pa.string()),
            ("path", pa.string()),
            ("offset", pa.int64()),
            ("length", pa.int64()),
            ("error", pa.string()),
        ]
    )


def files(run: str, name: str) -> list[str]:
    """The files of a table of a finished run. Raises :class:`InputError` if there are none."""
    folder = storage.join(run, name)
    found = [file.path for file in storage.list_files(folder) if file.path.endswith(".parquet")]
    if not found:
        raise InputError(f"{folder}: no Parquet files in it, which the run wrote there; run clean again")
    return found

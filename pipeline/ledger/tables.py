"""Parquet tables of the ledger: folders, schemas and files."""

import pyarrow as pa

from core import manifest, storage
from core.errors import InputError

ANALYSIS = "analysis"
"""Folder within the output of clean whose tables are removed unless ``output.keep_analysis`` is set."""
RECORDS, COPIES, CUTS, LEDGER = f"{ANALYSIS}/records", f"{ANALYSIS}/copies", f"{ANALYSIS}/cuts", "ledger"
"""Folders within the output: one row per analysed record, the decisions about duplicates, what is cut from
the documents that stay, the ledger. The final decisions are those in the ledger."""


def schema() -> pa.Schema:
    """Schema of the ledger: one row per record that could be read.

    ``cut_characters``: characters of repeated lines and passages that were removed, null if none. ``sample``:
    the first characters of the text, for a share of the dropped records.
    """
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
            ("duplicate_in", pa.string()),
            ("cut_characters", pa.int64()),
            ("sample", pa.string()),
        ]
    )


def copies_schema() -> pa.Schema:
    """Schema of the table of copies: one row per document that shares a key with another.

    ``part``: name of the one pass's file that holds the document. ``cluster``: id of the cluster's first
    document. ``cluster_size``: documents that the survivor stands for, itself included. ``reason`` and
    ``duplicate_of`` are null for survivors; ``similarity`` is null where none was computed. ``duplicate_in``:
    generation of the signature index that holds the survivor, null if it is of this corpus.
    """
    return pa.schema(
        [
            ("part", pa.string()),
            ("id", pa.string()),
            ("cluster", pa.string()),
            ("cluster_size", pa.int64()),
            ("reason", pa.string()),
            ("duplicate_of", pa.string()),
            ("duplicate_in", pa.string()),
            ("similarity", pa.float64()),
        ]
    )


def cuts_schema() -> pa.Schema:
    """Schema of the table of cuts: the repeated lines and passages of every document that has some.

    ``part``: name of the one pass's file that holds the document. ``spans``: offsets in code points, sorted
    and disjoint. ``characters``: length of the text, of which ``cut_characters`` are removed; ``emptied`` if
    nothing but white space is left.
    """
    span = pa.struct([("start", pa.int64()), ("end", pa.int64()), ("reason", pa.string())])
    return pa.schema(
        [
            ("part", pa.string()),
            ("id", pa.string()),
            ("spans", pa.list_(span)),
            ("characters", pa.int64()),
            ("cut_characters", pa.int64()),
            ("emptied", pa.bool_()),
        ]
    )


def quarantine_schema() -> pa.Schema:
    """Schema of the quarantine: one row per unreadable record, with its origin and the error."""
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


def records_folder(run: str) -> str:
    """Return the folder with the analysed records of a finished run.

    A run that decided about another one (``dedup.run``) may use that one's. Raises :class:`InputError` if
    they were removed, or are of another run by now.
    """
    folder = storage.join(run, RECORDS)
    if storage.exists(folder):
        return folder
    made = manifest.read(run, *manifest.CORPUS_STAGES)
    if not (base := made.facts.get("run")):
        raise InputError(
            f"{storage.join(run, ANALYSIS)}: was removed (output.keep_analysis), but its tables of analysed "
            "records are needed here; run clean with output.keep_analysis=true and another output.path"
        )
    source = made.inputs[0]
    if manifest.read(source, *manifest.CORPUS_STAGES).sha256() != base:
        raise InputError(
            f"{run}: uses the analysed records of {source}, which was replaced since; run dedup again"
        )
    return records_folder(source)


def files(run: str, name: str) -> list[str]:
    """Return the files of a table of a finished run. Raises :class:`InputError` if there are none."""
    analysed = records_folder(run) if name.startswith(ANALYSIS) else ""
    folder = analysed if name == RECORDS else storage.join(run, name)
    found = [file.path for file in storage.list_files(folder) if file.path.endswith(".parquet")]
    if not found:
        raise InputError(f"{folder}: the Parquet files of the run are missing; run clean again")
    return found

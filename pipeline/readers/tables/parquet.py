"""Parquet files with a text column, read by row groups."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from core import config, storage
from core.errors import InputError
from pipeline.readers.record import DATA_ERRORS, Damaged, InputSplit, Item, Origin, raise_storage_error
from pipeline.readers.tables import columns
from pipeline.readers.tables.values import to_python

MAGIC = b"PAR1"

_BATCH_ROWS = 256
_BATCH_BYTES = 1 << 24
"""Bytes of the rows that are decoded together, of which there are at most ``_BATCH_ROWS``."""
_ERRORS = (pa.ArrowException, OSError, *DATA_ERRORS)
"""Exceptions that Arrow raises on invalid data."""
_TEXT_TYPES = (
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.large_binary(),
    pa.binary_view(),
    pa.null(),
)


def read(split: InputSplit, wanted: config.ColumnsConfig, kept: Sequence[str] = ()) -> Iterator[Item]:
    """Yield one item for each row of the row groups that begin in the split.

    The byte position of a row group is estimated from the ordinal of its first row, because Arrow aborts the
    process when it is asked for exact positions in a footer with invalid column metadata. The offset of an
    origin is the row's ordinal in the file, its length is unknown and 0. Reads only the mapped columns, and
    holds those of one row group in memory, compressed.
    """
    with storage.open_read(split.path) as stream:
        size = stream.seek(0, 2)
        try:
            file = _open(stream)
            types = _column_types(file.schema_arrow)
            counts = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        except _ERRORS as error:
            problem = f"not a whole Parquet file: {_data_error(error)}"
            if split.start == 0:
                yield Damaged(Origin(0, size), problem)
            return
        mapping = columns.column_mapping(wanted, kept).among(lambda path: _column(path, types))
        wanted_columns = {_column(path, types) for path in mapping.paths}
        present = [name for name in types if name in wanted_columns]
        first_row = 0
        for group, count in enumerate(counts):
            if split.start <= size * first_row // max(1, sum(counts)) < split.start + split.length:
                yield from _read_group(file, group, range(first_row, first_row + count), present, mapping)
            first_row += count


def check(path: str, wanted: config.ColumnsConfig, kept: Sequence[str] = ()) -> None:
    """Raise :class:`InputError` unless all configured columns exist and the text column holds text.

    Accepts files without a readable footer: reading them reports the damage.
    """
    with storage.open_read(path) as stream:
        try:
            types = _column_types(_open(stream).schema_arrow)
        except _ERRORS as error:
            raise_storage_error(error)
            return
    mapping = columns.column_mapping(wanted, kept)
    text = mapping.fields["text"][0]
    found = types.get(_column(text, types))
    if not _is_text(found):
        problem = columns.missing_text(mapping, list(types), str(found or ""))
        raise InputError(f"{path}: {problem}; set input.columns.text to the one that holds the text")
    required = {f"columns.{field}": name for field, name in wanted.model_dump().items() if name}
    for setting, name in [*required.items(), *(("keep_columns", name) for name in kept)]:
        if not _column(name, types):
            raise InputError(
                f"{path}: no column {name!r}; the columns are {', '.join(types)}; set "
                f"input.{setting} to one of them or leave it out"
            )


def is_splittable(_: object) -> bool:
    """Always true: the footer locates every row group."""
    return True


def _open(stream: BinaryIO) -> pq.ParquetFile:
    """Read the footer. Old timestamps (INT96) are read in a unit in which they cannot overflow."""
    return pq.ParquetFile(stream, page_checksum_verification=True, coerce_int96_timestamp_unit="us")


def _read_group(
    file: pq.ParquetFile, group: int, rows: range, present: list[str], mapping: columns.ColumnMapping
) -> Iterator[Item]:
    """Yield the rows of a row group, ``rows`` in the file. Unreadable rows at its end are one damage."""
    row, problem = rows.start, "they are missing"
    row_bytes = max(1, file.metadata.row_group(group).total_byte_size // max(1, len(rows)))
    batch_rows = min(_BATCH_ROWS, max(1, _BATCH_BYTES // row_bytes))
    try:
        for batch in file.iter_batches(batch_rows, row_groups=[group], columns=present):
            for fields in _rows(batch):
                yield columns.record(fields, mapping, Origin(row, 0))
                row += 1
    except _ERRORS as error:
        problem = _data_error(error)
    if row < rows.stop:
        yield Damaged(Origin(row, 0), f"{rows.stop - row} rows of row group {group} are lost: {problem}")


def _rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Yield the rows of a batch. Of columns with equal names the first counts."""
    values: dict[str, list[Any]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Arrow warns of each key that a map repeats.
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if name not in values:
                values[name] = to_python(column)
    for row in range(batch.num_rows):
        yield {name: column[row] for name, column in values.items()}


def _data_error(error: Exception) -> str:
    """Return the first line of Arrow's message about the data. Re-raise errors of the storage."""
    raise_storage_error(error)
    return str(error).partition("\n")[0]


def _column(path: str, types: Mapping[str, pa.DataType]) -> str:
    """Return the column that holds a path: the path itself, or a map that it leads into; empty if none."""
    while path not in types:
        path = path.rpartition(".")[0]
        if not path or (path in types and not pa.types.is_map(types[path])):
            return ""
    return path


def _column_types(fields: Iterable[pa.Field], prefix: str = "") -> dict[str, pa.DataType]:
    """Return the types of all columns; those inside structs are named by their path.

    Of columns with equal names the first counts.
    """
    types: dict[str, pa.DataType] = {}
    for field in fields:
        path = prefix + field.name
        types.setdefault(path, field.type)
        if pa.types.is_struct(field.type):
            types |= _column_types(field.type, f"{path}.")
    return types


def _is_text(column: pa.DataType | None) -> bool:
    """True if a column of this type may hold strings or bytes: also one that holds nothing at all."""
    if isinstance(column, pa.BaseExtensionType):
        column = column.storage_type
    value = column.value_type if column and pa.types.is_dictionary(column) else column
    return value in _TEXT_TYPES

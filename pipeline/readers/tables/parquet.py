"""Parquet files with a text column, read by row groups."""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from core import config, storage
from core.errors import InputError
from pipeline.readers.record import Damaged, InputSplit, Item, Origin
from pipeline.readers.tables import columns

MAGIC = b"PAR1"

_BATCH_ROWS = 256


def read(split: InputSplit, wanted: config.ColumnsConfig) -> Iterator[Item]:
    """Yield one item for each row of the row groups that begin in the split.

    The byte position of a row group is estimated from the ordinal of its first row, because Arrow aborts the
    process when it is asked for exact positions in a footer with invalid column metadata. The offset of an
    origin is the row's ordinal in the file, its length is unknown and 0. Reads only the mapped columns, and
    holds those of one row group in memory, compressed.
    """
    with storage.open_read(split.path) as stream:
        size = stream.seek(0, 2)
        try:
            file = pq.ParquetFile(stream, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            if split.start == 0:
                yield Damaged(Origin(0, size), f"not a whole Parquet file: {_data_error(error)}")
            return
        mapping = columns.column_mapping(wanted)
        counts = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        first_row = 0
        for group, count in enumerate(counts):
            if split.start <= size * first_row // max(1, sum(counts)) < split.start + split.length:
                yield from _read_group(file, group, range(first_row, first_row + count), mapping)
            first_row += count


def check(path: str, wanted: config.ColumnsConfig) -> None:
    """Raise :class:`InputError` unless all configured columns exist and the text column holds text.

    Accepts files without a readable footer: reading them reports the damage.
    """
    with storage.open_read(path) as stream:
        try:
            types = _column_types(pq.read_schema(stream))
        except (pa.ArrowException, OSError) as error:
            _data_error(error)
            return
    mapping = columns.column_mapping(wanted)
    if not _is_text(types.get(mapping["text"][0])):
        problem = columns.missing_text(mapping, list(types))
        raise InputError(f"{path}: {problem}; set input.columns.text to the one that holds the text")
    for field, name in wanted.model_dump().items():
        if name and name not in types:
            raise InputError(
                f"{path}: no column {name!r}; the columns are {', '.join(types)}; set "
                f"input.columns.{field} to one of them or leave it out"
            )


def is_splittable(_: object) -> bool:
    """Always true: the footer locates every row group."""
    return True


def _read_group(
    file: pq.ParquetFile, group: int, rows: range, mapping: columns.ColumnMapping
) -> Iterator[Item]:
    """Yield the rows of a row group, ``rows`` in the file. Unreadable rows at its end are one damage."""
    types = _column_types(file.schema_arrow)
    present = [path for paths in mapping.values() for path in paths if path in types]
    row = rows.start
    try:
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=present):
            for index in range(batch.num_rows):
                yield _item(batch.slice(index, 1), mapping, Origin(row, 0))
                row += 1
    except (pa.ArrowException, OSError) as error:
        problem = _data_error(error)
        if row < rows.stop:
            yield Damaged(Origin(row, 0), f"{rows.stop - row} rows of row group {group} are lost: {problem}")


def _item(row: pa.RecordBatch, mapping: columns.ColumnMapping, origin: Origin) -> Item:
    try:
        (fields,) = row.to_pylist()
    except (ValueError, OverflowError) as error:  # Invalid UTF-8, or a time outside the years 1 to 9999.
        return Damaged(origin, f"invalid value: {error}")
    return columns.record(fields, mapping, origin)


def _data_error(error: Exception) -> str:
    """Return the first line of Arrow's message about the data. Re-raise errors of the storage.

    Storage errors are OSErrors with an errno or of a subclass; Arrow raises plain OSErrors.
    """
    if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
        raise error
    return str(error).partition("\n")[0]


def _column_types(fields: Iterable[pa.Field], prefix: str = "") -> dict[str, pa.DataType]:
    """Return the types of all columns; those inside structs are named by their path."""
    types: dict[str, pa.DataType] = {}
    for field in fields:
        path = prefix + field.name
        if pa.types.is_struct(field.type):
            types |= _column_types(field.type, f"{path}.")
        else:
            types[path] = field.type
    return types


def _is_text(column: pa.DataType | None) -> bool:
    """True if a column of this type holds strings or bytes."""
    value = column.value_type if column and pa.types.is_dictionary(column) else column
    return value in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())

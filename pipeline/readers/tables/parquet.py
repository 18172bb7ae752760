"""Parquet files with a column of text, by row groups."""

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
    """One item for each row of the split's row groups.

    A row group counts as begun where its first row stands among the file's rows, in proportion: exact places
    are not asked for, because Arrow ends the process over a footer that describes its columns wrongly. An
    origin's offset is the row's ordinal in the file; its length is not known and 0. Only the columns that are
    wanted are read; those of a row group are in memory at once, compressed.
    """
    with storage.open_read(split.path) as stream:
        size = stream.seek(0, 2)
        try:
            file = pq.ParquetFile(stream, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            if split.start == 0:
                yield Damaged(Origin(0, size), f"not a whole Parquet file: {_about(error)}")
            return
        counts = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        first_row = 0
        for number, count in enumerate(counts):
            if split.start <= size * first_row // max(1, sum(counts)) < split.start + split.length:
                yield from _rows(file, number, range(first_row, first_row + count), columns.names(wanted))
            first_row += count


def check(path: str, wanted: config.ColumnsConfig) -> None:
    """Raise :class:`InputError` unless the columns that are wanted by name are there, and text is text."""
    with storage.open_read(path) as stream:
        try:
            found = _columns(pq.read_schema(stream))
        except (pa.ArrowException, OSError) as error:
            _about(error)
            return  # The whole file is damage, which reading it says.
    names = columns.names(wanted)
    if not _is_text(found.get(names["text"][0])):
        problem = columns.lacks_text(names, list(found))
        raise InputError(f"{path}: {problem}; set input.columns.text to the one that holds the text")
    for field, name in wanted.model_dump().items():
        if name and name not in found:
            raise InputError(
                f"{path}: no column {name!r}; the columns are {', '.join(found)}; set "
                f"input.columns.{field} to one of them or leave it out"
            )


def splittable(_: object) -> bool:
    """Whether row groups can be read from anywhere on: the footer says where they are."""
    return True


def _rows(file: pq.ParquetFile, number: int, rows: range, names: columns.Names) -> Iterator[Item]:
    """The rows of a row group, by their ordinals in the file; those that cannot be read are one damage."""
    found = _columns(file.schema_arrow)
    present = [path for paths in names.values() for path in paths if path in found]
    row = rows.start
    try:
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=[number], columns=present):
            for index in range(batch.num_rows):
                yield _item(batch.slice(index, 1), names, Origin(row, 0))
                row += 1
    except (pa.ArrowException, OSError) as error:
        problem = _about(error)
        if row < rows.stop:
            yield Damaged(Origin(row, 0), f"{rows.stop - row} rows of row group {number} are lost: {problem}")


def _item(row: pa.RecordBatch, names: columns.Names, origin: Origin) -> Item:
    try:
        (fields,) = row.to_pylist()
    except (ValueError, OverflowError) as error:  # no UTF-8; a time before the first year or after the last
        return Damaged(origin, f"a value that cannot be: {error}")
    return columns.record(fields, names, origin)


def _about(error: Exception) -> str:
    """What Arrow says of the data. The storage's own errors, which have numbers or classes, are raised."""
    if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
        raise error
    return str(error).partition("\n")[0]


def _columns(fields: Iterable[pa.Field], prefix: str = "") -> dict[str, pa.DataType]:
    """The columns and their types, those in structs by their path."""
    found: dict[str, pa.DataType] = {}
    for field in fields:
        path = prefix + field.name
        found |= _columns(field.type, f"{path}.") if pa.types.is_struct(field.type) else {path: field.type}
    return found


def _is_text(kind: pa.DataType | None) -> bool:
    """Whether the type of a column is that of text, decoded or not."""
    value = kind.value_type if kind and pa.types.is_dictionary(kind) else kind
    return value in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())

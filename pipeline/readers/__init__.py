"""Readers that turn raw files into records: one subpackage per family of formats.

:func:`read` is the entry point to all of them; :mod:`~pipeline.readers.inputs` lists the input files and
plans their splits. Start reading with :mod:`~pipeline.readers.record`, which defines what a reader yields.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from core import config
from pipeline.readers.books import reader as books
from pipeline.readers.record import DATA_ERRORS, Damaged, InputSplit, Item, Origin, with_valid_text
from pipeline.readers.tables import jsonl, parquet
from pipeline.readers.warc import reader as warc
from pipeline.readers.wikimedia import xml_export

_DEFAULT_COLUMNS = config.ColumnsConfig()
_READERS: Mapping[str, Callable[[InputSplit], Iterator[Item]]] = MappingProxyType(
    {"warc": warc.read, "wikipedia": xml_export.read, "books": books.read}
)
_TABLE_READERS: Mapping[str, Callable[[InputSplit, config.ColumnsConfig, Sequence[str]], Iterator[Item]]] = (
    MappingProxyType({"jsonl": jsonl.read, "parquet": parquet.read})
)


def read(
    split: InputSplit, columns: config.ColumnsConfig = _DEFAULT_COLUMNS, kept: Sequence[str] = ()
) -> Iterator[Item]:
    """Yield exactly one item for each record that begins in the split, in file order.

    ``columns`` names the columns of tables, ``kept`` those that are passed through. Bad data yields
    :class:`~pipeline.readers.record.Damaged` items and never raises. Storage errors do raise, so that Spark
    retries the task: :class:`~core.errors.InputError` for a missing file, and network errors.
    """
    if table_reader := _TABLE_READERS.get(split.format):
        items = table_reader(split, columns, kept)
    else:
        items = _READERS[split.format](split)
    item = None
    try:
        for item in items:
            yield with_valid_text(item)
    except DATA_ERRORS as error:
        end = item.origin.offset + max(1, item.origin.length) if item else split.start
        problem = f"the rest cannot be read: {type(error).__name__}: {error}"
        yield with_valid_text(Damaged(Origin(end, 0), problem))

"""Raw files to records: ``read`` is the one door to all readers."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from core import config
from pipeline.readers import books, warc
from pipeline.readers.record import InputSplit, Item
from pipeline.readers.tables import jsonl, parquet
from pipeline.readers.wikimedia import xml_export

_USUAL = config.ColumnsConfig()
_READERS: Mapping[str, Callable[[InputSplit], Iterator[Item]]] = MappingProxyType(
    {"warc": warc.read, "wikipedia": xml_export.read, "books": books.read}
)
_TABLES: Mapping[str, Callable[[InputSplit, config.ColumnsConfig], Iterator[Item]]] = MappingProxyType(
    {"jsonl": jsonl.read, "parquet": parquet.read}
)


def read(split: InputSplit, columns: config.ColumnsConfig = _USUAL) -> Iterator[Item]:
    """Every record that begins in the split, each as exactly one item, in file order.

    ``columns`` says where the records of tables have what. Bad data becomes a
    :class:`~pipeline.readers.record.Damaged` item and never an exception. What does raise is storage:
    :class:`~core.errors.InputError` for a file that is gone, and what a network throws, so that the task
    is tried again.
    """
    if table := _TABLES.get(split.format):
        return table(split, columns)
    return _READERS[split.format](split)

"""Raw files to records: ``read`` is the one door to all readers."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from pipeline.readers import books, jsonl, warc, wikipedia
from pipeline.readers.record import Item, Split

_READERS: Mapping[str, Callable[[Split], Iterator[Item]]] = MappingProxyType(
    {"warc": warc.read, "wikipedia": wikipedia.read, "books": books.read, "jsonl": jsonl.read}
)


def read(split: Split) -> Iterator[Item]:
    """Every record that begins in the split, each as exactly one item, in file order.

    Bad data becomes a :class:`~pipeline.readers.record.Damaged` item and never an exception. What does raise
    is storage: :class:`~pipeline.errors.InputError` for a file that is gone, and what a network throws, so
    that the task is tried again.
    """
    return _READERS[split.format](split)

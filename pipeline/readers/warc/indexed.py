"""Single records of WARC files whose places are known, each by one request for exactly its bytes."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO

from core import storage
from pipeline.ledger import Drop, Reason
from pipeline.readers import warc
from pipeline.readers.record import MAX_BYTES, Damaged, InputSplit, Item, Origin, Skipped

AHEAD = 16
"""Requests under way while a record is worked on: over a network it is waiting that takes the time."""


def read(records: Iterable[InputSplit]) -> Iterator[tuple[InputSplit, Item]]:
    """The items of splits that are one record each, in their order: those that reading whole files gives."""
    waiting: deque[tuple[InputSplit, Future[bytes]]] = deque()
    with ThreadPoolExecutor(AHEAD) as pool:
        for record in records:
            waiting.append((record, pool.submit(_fetch, record)))
            if len(waiting) == AHEAD:
                yield from _items(*waiting.popleft())
        while waiting:
            yield from _items(*waiting.popleft())


def _fetch(record: InputSplit) -> bytes:
    """The record's bytes; none for a place that no readable record can have."""
    if record.start < 0 or not 0 < record.length <= MAX_BYTES:
        return b""
    return storage.read_range(record.path, record.start, record.length)


def _items(record: InputSplit, fetched: Future[bytes]) -> Iterator[tuple[InputSplit, Item]]:
    origin, raw = Origin(record.start, record.length), fetched.result()
    if record.length > MAX_BYTES:
        yield record, Skipped(origin, "", Drop(Reason.TOO_LARGE, record.length, MAX_BYTES))
    elif not raw or len(raw) < record.length:
        yield record, Damaged(origin, f"the index says {record.length} bytes, but there are {len(raw)}")
    else:
        for item in warc.items(BytesIO(raw), 0, len(raw)):
            place = Origin(record.start + item.origin.offset, item.origin.length)
            yield record, replace(item, origin=place)

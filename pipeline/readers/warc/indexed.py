"""Single records of WARC files at known locations, each fetched by one request for its bytes."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO

from core import storage
from pipeline.ledger import Drop, Reason
from pipeline.readers.record import MAX_BYTES, Damaged, InputSplit, Item, Origin, Skipped
from pipeline.readers.warc import reader

MAX_IN_FLIGHT = 16
"""Concurrent requests: over a network, most of the time is latency."""


def read(records: Iterable[InputSplit]) -> Iterator[tuple[InputSplit, Item]]:
    """Yield the items of splits that are one record each, in order, equal to those of reading whole files."""
    pending: deque[tuple[InputSplit, Future[bytes]]] = deque()
    with ThreadPoolExecutor(MAX_IN_FLIGHT) as pool:
        for record in records:
            pending.append((record, pool.submit(_fetch, record)))
            if len(pending) == MAX_IN_FLIGHT:
                yield from _items(*pending.popleft())
        while pending:
            yield from _items(*pending.popleft())


def _fetch(record: InputSplit) -> bytes:
    """Return the bytes of the record; none if its location is invalid or it is too large."""
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
        for item in reader.items(BytesIO(raw), 0, len(raw)):
            in_file = Origin(record.start + item.origin.offset, item.origin.length)
            yield record, item._replace(origin=in_file)

"""Failures of the storage in the middle of a file: every reader raises them, none takes them for damage."""

import bz2
import errno
import gzip
import io
import json
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import brotli
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core import storage
from core.config import InputConfig
from core.errors import UnavailableError
from pipeline.readers import read
from pipeline.readers.compressed import zstd
from pipeline.readers.inputs import plan, plan_splits
from pipeline.readers.record import Damaged, InputSplit, Record, raise_storage_error
from tests.pipeline.readers.warc.warcs import members, record
from tests.pipeline.readers.wikimedia.test_enterprise import archive, article
from tests.pipeline.readers.wikimedia.test_multistream import PAGES, TAIL, in_streams
from tests.pipeline.readers.wikimedia.test_xml_export import HEAD

RECORDS = [record(b"<p>page %d" % number * 500, f"http://example.org/{number}") for number in range(40)]
ARTICLES = archive(b"".join(article(f"by {number}") for number in range(400)))
LINES = b"".join(json.dumps({"text": f"line {number} " * 50}).encode() + b"\n" for number in range(2000))
BOOK = "\n\n".join(
    f"Paragraph {number} of the book, which is long enough." for number in range(3000)
).encode()
PAGES_OF_WIKI = [each.encode() for each in PAGES]
START, END = HEAD.encode(), TAIL.encode()


def parquet() -> bytes:
    sink = io.BytesIO()
    table = pa.table({"text": [f"row {number} " * 20 for number in range(5000)]})
    pq.write_table(table, sink, row_group_size=500, compression="none")
    return sink.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "a.warc": lambda: b"".join(RECORDS),
    "a.warc.gz": lambda: b"".join(members(RECORDS)),
    "whole.warc.gz": lambda: gzip.compress(b"".join(RECORDS)),
    "a.warc.zst": lambda: b"".join(zstd.compress(each) for each in RECORDS),
    "wiki-pages-articles-multistream.xml.bz2": lambda: b"".join(in_streams(PAGES_OF_WIKI, 3, START, END)),
    "wiki-pages-articles.xml.gz": lambda: gzip.compress(START + b"".join(PAGES_OF_WIKI) + END),
    "wiki-NS0-ENTERPRISE-HTML.json.tar.gz": lambda: gzip.compress(ARTICLES),
    "a.jsonl": lambda: LINES,
    "a.jsonl.xz": lambda: lzma.compress(LINES),
    "a.jsonl.bz2": lambda: bz2.compress(LINES),
    "a.jsonl.br": lambda: brotli.compress(LINES),
    "a.parquet": parquet,
    "book.txt.gz": lambda: gzip.compress(BOOK),
}
FAILURES = [
    UnavailableError("s3://bucket/a: the server is busy or failing; run again later"),
    OSError(errno.EIO, "Input/output error"),
    ConnectionResetError("by peer"),
]


class Failing(io.BytesIO):
    """A file whose ``number``-th read fails, counted from 0; none if it is negative."""

    def __init__(self, data: bytes, number: int, error: Exception) -> None:
        super().__init__(data)
        self.reads, self.failed = 0, False
        self._number, self._error = number, error

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > self._number >= 0:
            self.failed = True
            raise self._error
        return super().read(size)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, Exception], list[Failing]]]:
    """Make ``storage.open_read`` return failing files; their list is returned."""

    def fail(number: int, error: Exception) -> list[Failing]:
        streams: list[Failing] = []

        def open_read(path: str) -> Any:
            streams.append(Failing(Path(path).read_bytes(), number, error))
            return streams[-1]

        monkeypatch.setattr(storage, "open_read", open_read)
        return streams

    yield fail
    monkeypatch.undo()


@pytest.mark.parametrize("name", FILES)
def test_failure_at_any_read_is_raised(name: str, tmp_path: Path, opened: Any) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name]())
    size = path.stat().st_size
    (split,) = plan_splits(InputConfig(paths=(str(path),)))
    middle = InputSplit(split.path, split.file_name, split.format, split.source, size // 3, size - size // 3)
    for part in (split, middle) if not name.startswith(("book", "whole")) else (split,):
        streams = opened(-1, FAILURES[0])
        expected = list(read(part))
        assert any(isinstance(item, Record) for item in expected)
        assert part is middle or not any(isinstance(item, Damaged) for item in expected)
        reads = max(stream.reads for stream in streams)
        assert reads > 0
        for number in sorted({*range(min(reads, 6)), reads - 1}):
            for error in FAILURES:
                found, streams = [], opened(number, error)
                try:
                    for item in read(part):
                        found.append(item)
                except type(error) as raised:
                    assert raised is error
                    assert found == expected[: len(found)]
                else:  # Arrow reads ahead, and may end without a range that it began to read before
                    assert number and not any(stream.failed for stream in streams)
                    assert found == expected


def test_errors_of_decoders_are_not_errors_of_storage() -> None:
    for damage in (OSError("Invalid data stream"), pa.ArrowInvalid("no Parquet file"), ValueError()):
        raise_storage_error(damage)
    for error in FAILURES[1:]:
        with pytest.raises(type(error)):
            raise_storage_error(error)


@pytest.mark.parametrize("error", [FAILURES[0], ConnectionResetError()])
def test_file_whose_storage_fails_is_not_skipped(error: Exception, tmp_path: Path, opened: Any) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(LINES)
    opened(0, error)
    with pytest.raises(type(error)):
        plan(InputConfig(paths=(str(tmp_path),)))

"""No byte ends a task: mutated archives and tables pass recognition, the readers and the pass behind them."""

import gzip
import lzma
from pathlib import Path

import brotli
import pytest
from backports import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.config import load
from core.errors import InputError
from pipeline.readers import read
from pipeline.readers.inputs import InputFile, split_file
from pipeline.readers.record import InputSplit
from pipeline.spark.record_processing import process_splits
from tests.pipeline.readers.warc.warcs import members, record, warc

CONFIG = load(None, ["filters.preset=none", "dedup.exact=false", "dedup.near=false", 'input.paths=["x"]'])
PAGE = b"<!DOCTYPE html><title>Ferry</title><p>The ferry arrives twice a day in summer.</p>" * 3
HTML = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
PAGES = [
    record(PAGE, "http://example.org/1"),
    record(gzip.compress(PAGE), "http://example.org/2", http=f"{HTML}Content-Encoding: gzip\r\n"),
    record(brotli.compress(PAGE), "http://example.org/3", http=f"{HTML}Content-Encoding: br\r\n"),
    record(b"1e\r\n%s\r\n0\r\n\r\n" % PAGE[:30], http=f"{HTML}Transfer-Encoding: chunked\r\n"),
    warc("Plain text, Ærø".encode("latin-1"), "http://example.org/4", "conversion", "text/plain"),
]
ARC = b"http://example.org/ 1.2.3.4 20240506070809 text/html %d\n%s\n" % (len(PAGE), PAGE)
LINES = b'{"text": "The ferry arrives.", "url": "http://example.org/", "date": "2024-05-06"}\n' * 4
FILES = {
    "a.warc": b"".join(PAGES),
    "b.warc.gz": b"".join(members(PAGES)),
    "c.warc.zst": b"".join(map(zstd.compress, PAGES)),
    "d.warc.xz": lzma.compress(b"".join(PAGES)),
    "e.warc.gz.gz": gzip.compress(b"".join(members(PAGES))),
    "f.arc": ARC * 3,
    "g.jsonl": LINES,
    "h.jsonl.gz": b"".join(members([LINES] * 3)),
    "i.jsonl.br": brotli.compress(LINES),
}
TOKENS = [
    b"Content-Length: 99999999999\r\n",
    b"WARC/1.0\r\n",
    b"\x1f\x8b\x08\0",
    b"\0" * 40,
    b"\xed\xa0\x80",
    b"\xff",
]
EDITS = st.tuples(
    st.sampled_from(["cut", "flip", "insert", "end", "start"]),
    st.floats(0, 1, exclude_max=True),
    st.binary(min_size=1, max_size=60) | st.sampled_from(TOKENS),
)


def edited(data: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    for operation, position, extra in edits:
        at = int(position * len(data))
        match operation:
            case "cut":
                data = data[:at] + data[at + len(extra) :]
            case "flip":
                data = data[:at] + extra + data[at + len(extra) :]
            case "insert":
                data = data[:at] + extra + data[at:]
            case "end":
                data = data[:at]
            case _:
                data = data[at // 2 :]
    return data


def splits_of(path: Path, size: int) -> list[InputSplit]:
    """Return the splits that a run would read, or the whole file if it is not recognized."""
    kind = "jsonl" if ".jsonl" in path.name else "warc"
    whole = InputSplit(str(path), path.name, kind, "", 0, size)
    try:
        return split_file(InputFile(str(path), path.name, size, ""), CONFIG.input) or [whole]
    except InputError:
        return [whole]


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(EDITS, min_size=1, max_size=4))
def test_mutated_files_are_read_to_their_end(
    tmp_path: Path, name: str, edits: list[tuple[str, float, bytes]]
) -> None:
    path = tmp_path / name
    path.write_bytes(data := edited(FILES[name], edits))
    items = [item for split in splits_of(path, len(data)) for item in read(split)]
    assert len({item.origin.offset for item in items}) == len(items)
    assert not any("the rest cannot be read" in getattr(item, "error", "") for item in items)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.lists(EDITS, min_size=1, max_size=2), min_size=len(FILES), max_size=len(FILES)))
def test_mutated_files_pass_the_processing_of_records(
    tmp_path: Path, edits: list[list[tuple[str, float, bytes]]]
) -> None:
    splits = []
    for (name, original), changes in zip(FILES.items(), edits, strict=True):
        path = tmp_path / name
        path.write_bytes(data := edited(original, changes))
        splits += splits_of(path, len(data))
    rows = [row for batch in process_splits(splits, CONFIG) for row in batch.select(["id"]).to_pylist()]
    assert len({row["id"] for row in rows}) == len(rows)
    assert len(rows) == sum(1 for split in splits for _ in read(split))

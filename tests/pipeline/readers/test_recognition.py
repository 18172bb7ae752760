import bz2
import gzip
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd

from core.config import ColumnsConfig, InputConfig
from core.errors import InputError
from pipeline.readers.inputs import plan_splits
from pipeline.readers.recognition import detect_format
from tests.pipeline.readers.warc.warcs import members, record

WARC = record(b"<p>page")
WIKI = b'<?xml version="1.0"?>\n<mediawiki xmlns="x" xml:lang="da"></mediawiki>'
JSONL = b'{"text": "hello"}\n'


def parquet(columns: dict[str, list[object]]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


PARQUET = parquet({"text": ["hello"]})


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.warc", WARC, "warc"),
        ("a.warc.gz", gzip.compress(WARC), "warc"),
        ("a", gzip.compress(WARC), "warc"),
        ("a.txt", WARC, "warc"),
        ("a.xml", WIKI, "wikipedia"),
        ("a.xml", WIKI.decode().encode("utf-16"), "wikipedia"),
        ("a.xml.bz2", bz2.compress(WIKI), "wikipedia"),
        ("a", gzip.compress(WIKI), "wikipedia"),
        ("a.jsonl", JSONL, "jsonl"),
        ("a.jsonl.zst", zstd.compress(JSONL), "jsonl"),
        ("a", PARQUET, "parquet"),
        ("a.json", JSONL, "jsonl"),
        ("A.NDJSON.GZ", gzip.compress(JSONL), "jsonl"),
        ("a.jsonl", b'{"text": "' + b"long " * 500_000 + b'"}\n', "jsonl"),
        ("a.txt", b"Once upon a time", "books"),
        ("a.md.gz", gzip.compress(b"# Once"), "books"),
        ("a.txt", "Éranse".encode("utf-16"), "books"),
        ("a.xml.gz", gzip.compress(b'<?xml version="1.0"?><TEI xmlns="x"><teiHeader/></TEI>'), "books"),
    ],
)
def test_format_is_detected_by_content_and_name(
    tmp_path: Path, name: str, data: bytes, expected: str
) -> None:
    path = write(tmp_path / name, data)
    assert detect_format(str(path), len(data), ColumnsConfig()) == expected


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.bin", b"\0\1\2"),
        ("a.tsv", b"a\tb"),
        ("a.txt", b"\0\1\2"),
        ("a.txt", b""),
        ("a.jsonl", b"[1, 2]\n"),
        ("a.jsonl", b""),
        ("a.warc.gz", gzip.compress(b"hello")),
        ("a.warc.gz", b"<html>404"),
    ],
)
def test_unknown_format_is_rejected_in_one_line(tmp_path: Path, name: str, data: bytes) -> None:
    path = write(tmp_path / name, data)
    with pytest.raises(InputError, match=r"begins with b.*input\.format") as caught:
        detect_format(str(path), len(data), ColumnsConfig())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["warc", "wikipedia", "jsonl", "books", "parquet"])
def test_configured_format_that_does_not_match_is_rejected(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.dat", b"\x7fELF\0\0")
    with pytest.raises(InputError, match=r"a\.dat: begins with b'\\x7fELF.*, not .*input\.format"):
        plan_splits(InputConfig(paths=(str(path),), format=name))


def test_warc_with_a_damaged_first_member_is_detected(tmp_path: Path) -> None:
    packed = members([WARC, WARC])
    for at in (4, 14, 30):
        broken = bytearray(b"".join(packed))
        broken[at] ^= 0xFF
        path = write(tmp_path / "a.warc.gz", bytes(broken))
        assert detect_format(str(path), len(broken), ColumnsConfig()) == "warc"


def test_warc_name_without_a_warc_record_is_rejected(tmp_path: Path) -> None:
    path = write(tmp_path / "a.warc.gz", b"hello")
    with pytest.raises(InputError, match="begins with b'hello', not a WARC record"):
        detect_format(str(path), 5, ColumnsConfig())


def test_table_without_a_text_column_is_rejected_with_its_columns(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", parquet({"id": [1], "content": ["x"]}))
    write(tmp_path / "b.jsonl", b'{"id": 1, "content": "x"}')
    for name in ("a.parquet", "b.jsonl"):
        paths = (str(tmp_path / name),)
        with pytest.raises(
            InputError, match=r"no column 'text' with the text; the columns are id, content.*columns"
        ):
            plan_splits(InputConfig(paths=paths))
        assert plan_splits(InputConfig(paths=paths, columns=ColumnsConfig(text="content")))
    with pytest.raises(InputError, match=r"column 'id' holds int64, not text"):
        plan_splits(InputConfig(paths=(str(tmp_path / "a.parquet"),), columns=ColumnsConfig(text="id")))
    with pytest.raises(InputError, match=r"no column 'a\.b'; .* set input\.columns\.url to one of them"):
        plan_splits(
            InputConfig(
                paths=(str(tmp_path / "a.parquet"),), columns=ColumnsConfig(text="content", url="a.b")
            )
        )

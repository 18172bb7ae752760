import bz2
import gzip
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from core.config import ColumnsConfig, InputConfig
from core.errors import InputError
from pipeline.readers.inputs import find_files, plan_splits, sniff, unique_names
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
    path.parent.mkdir(parents=True, exist_ok=True)
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
def test_recognised_by_content_and_name(tmp_path: Path, name: str, data: bytes, expected: str) -> None:
    path = write(tmp_path / name, data)
    assert sniff(str(path), len(data), ColumnsConfig()) == expected


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
def test_what_is_not_recognised_is_refused_in_one_line(tmp_path: Path, name: str, data: bytes) -> None:
    path = write(tmp_path / name, data)
    with pytest.raises(InputError, match=r"begins with b.*input\.format") as caught:
        sniff(str(path), len(data), ColumnsConfig())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["warc", "wikipedia", "jsonl", "books", "parquet"])
def test_a_format_that_does_not_fit_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.dat", b"\x7fELF\0\0")
    with pytest.raises(InputError, match=r"a\.dat: begins with b'\\x7fELF.*, not .*input\.format"):
        plan_splits(InputConfig(paths=(str(path),), format=name))


def test_a_warc_whose_first_member_is_damaged_is_still_one(tmp_path: Path) -> None:
    packed = members([WARC, WARC])
    for at in (4, 14, 30):
        broken = bytearray(b"".join(packed))
        broken[at] ^= 0xFF
        path = write(tmp_path / "a.warc.gz", bytes(broken))
        assert sniff(str(path), len(broken), ColumnsConfig()) == "warc"


def test_sources_and_splits(tmp_path: Path) -> None:
    write(tmp_path / "a.warc", WARC)
    write(tmp_path / "b.jsonl", JSONL)
    named = plan_splits(InputConfig(paths=(str(tmp_path),)))
    assert [(split.file_name, split.format, split.source) for split in named] == [
        ("a.warc", "warc", "commoncrawl"),
        ("b.jsonl", "jsonl", "jsonl"),
    ]
    assert (named[0].start, named[0].length) == (0, len(WARC))
    own = plan_splits(InputConfig(paths=(str(tmp_path),), source="mine"))
    assert {split.source for split in own} == {"mine"}


def test_names_do_not_depend_on_where_files_lie(tmp_path: Path) -> None:
    for root in ("here", "there/deeper"):
        for name in ("x/part.txt", "y/part.txt", "y/other.txt"):
            write(tmp_path / root / name, b"text")
    here, there = (find_files(InputConfig(paths=(str(tmp_path / root),))) for root in ("here", "there"))
    assert [file.file_name for file in here] == ["other.txt", "x/part.txt", "y/part.txt"]
    assert [file.file_name for file in there] == [file.file_name for file in here]


def test_a_file_named_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"text")
    with pytest.raises(InputError, match=r"a\.txt: named twice in input\.paths, by .* and by "):
        find_files(InputConfig(paths=(str(tmp_path), str(path))))


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing there"):
        find_files(InputConfig(paths=(str(tmp_path / "none"),)))


@given(st.sets(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join), min_size=1))
def test_names_are_unique_ends_of_paths(paths: set[str]) -> None:
    absolute = sorted(f"/{path}" for path in paths)
    names = unique_names(absolute)
    assert len(set(names.values())) == len(absolute)
    assert all(path.endswith(name) for path, name in names.items())


def test_a_file_named_like_a_warc_is_told_what_it_lacks(tmp_path: Path) -> None:
    path = write(tmp_path / "a.warc.gz", b"hello")
    with pytest.raises(InputError, match="begins with b'hello', not a WARC record"):
        sniff(str(path), 5, ColumnsConfig())


def test_a_table_without_text_is_told_which_columns_it_has(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", parquet({"id": [1], "content": ["x"]}))
    write(tmp_path / "b.jsonl", b'{"id": 1, "content": "x"}')
    for name in ("a.parquet", "b.jsonl"):
        paths = (str(tmp_path / name),)
        with pytest.raises(
            InputError, match=r"no text in column 'text'; the columns are id, content.*columns"
        ):
            plan_splits(InputConfig(paths=paths))
        assert plan_splits(InputConfig(paths=paths, columns=ColumnsConfig(text="content")))
    with pytest.raises(InputError, match=r"no text in column 'id'"):
        plan_splits(InputConfig(paths=(str(tmp_path / "a.parquet"),), columns=ColumnsConfig(text="id")))
    with pytest.raises(InputError, match=r"no column 'a\.b'; .* set input\.columns\.url to one of them"):
        plan_splits(
            InputConfig(
                paths=(str(tmp_path / "a.parquet"),), columns=ColumnsConfig(text="content", url="a.b")
            )
        )

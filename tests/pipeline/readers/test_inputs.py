from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import InputConfig
from core.errors import InputError
from pipeline.readers.inputs import find_files, plan_splits, unique_names
from tests.pipeline.readers.warc.warcs import record

WARC = record(b"<p>page")
JSONL = b'{"text": "hello"}\n'


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_splits_name_the_format_and_source_of_their_file(tmp_path: Path) -> None:
    write(tmp_path / "a.warc", WARC)
    write(tmp_path / "b.jsonl", JSONL)
    splits = plan_splits(InputConfig(paths=(str(tmp_path),)))
    assert [(split.file_name, split.format, split.source) for split in splits] == [
        ("a.warc", "warc", "commoncrawl"),
        ("b.jsonl", "jsonl", "jsonl"),
    ]
    assert (splits[0].start, splits[0].length) == (0, len(WARC))
    renamed = plan_splits(InputConfig(paths=(str(tmp_path),), source="mine"))
    assert {split.source for split in renamed} == {"mine"}


def test_file_names_do_not_depend_on_the_location_of_files(tmp_path: Path) -> None:
    for root in ("first", "second/deeper"):
        for name in ("x/part.txt", "y/part.txt", "y/other.txt"):
            write(tmp_path / root / name, b"text")
    first, second = (find_files(InputConfig(paths=(str(tmp_path / root),))) for root in ("first", "second"))
    assert [file.file_name for file in first] == ["other.txt", "x/part.txt", "y/part.txt"]
    assert [file.file_name for file in second] == [file.file_name for file in first]


def test_file_named_twice_is_rejected(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"text")
    with pytest.raises(InputError, match=r"a\.txt: named twice in input\.paths, by .* and by "):
        find_files(InputConfig(paths=(str(tmp_path), str(path))))


def test_missing_path_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing there"):
        find_files(InputConfig(paths=(str(tmp_path / "none"),)))


@given(st.sets(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join), min_size=1))
def test_unique_names_are_distinct_suffixes_of_paths(paths: set[str]) -> None:
    absolute = sorted(f"/{path}" for path in paths)
    names = unique_names(absolute)
    assert len(set(names.values())) == len(absolute)
    assert all(path.endswith(name) for path, name in names.items())

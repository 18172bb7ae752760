import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import InputConfig
from core.errors import InputError
from pipeline.readers import read
from pipeline.readers.inputs import describe_skipped, find_files, plan, plan_splits, unique_names
from pipeline.readers.record import Damaged, Record
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


def test_empty_and_unreadable_files_among_others_are_skipped(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", JSONL)
    for name, data in {
        "empty.jsonl": b"",
        "blank.txt": b"\xef\xbb\xbf\r\n \n",
        "empty.warc.gz": gzip.compress(b""),
        "zeros.bin": b"\0\1\2",
        "archive.zip": b"PK\x03\x04zip",
        "other.json": b'{"version": 1}',
        ".hidden.jsonl": JSONL,
    }.items():
        write(tmp_path / name, data)
    for pattern in (str(tmp_path), f"{tmp_path}/*"):
        planned = plan(InputConfig(paths=(pattern,)))
        assert [file.file_name for file in planned.files] == ["a.jsonl"]
        causes = {Path(path).name: cause.partition(":")[0] for path, cause in planned.skipped.items()}
        assert causes == {
            "empty.jsonl": "empty",
            "blank.txt": "empty",
            "empty.warc.gz": "empty",
            "zeros.bin": "not readable",
            "archive.zip": "not readable",
            "other.json": "not readable",
            ".hidden.jsonl": "hidden",
        }
        line = describe_skipped(planned.skipped)
        assert line.startswith("7 paths of the inputs are not read (")
        assert "empty: 3, such as" in line and "not readable: 3, such as" in line and "hidden: 1" in line
        assert "zip archive" in planned.skipped[f"{tmp_path}/archive.zip"]


def test_named_file_that_cannot_be_read_is_an_error_but_an_empty_one_is_not(tmp_path: Path) -> None:
    good, empty = write(tmp_path / "a.jsonl", JSONL), write(tmp_path / "b.jsonl", b"")
    bad = write(tmp_path / "c.bin", b"\0\1\2")
    assert len(plan_splits(InputConfig(paths=(str(good), str(empty))))) == 1
    with pytest.raises(InputError, match=r"c\.bin: begins with"):
        plan_splits(InputConfig(paths=(str(good), str(bad))))
    with pytest.raises(InputError, match=r"b\.jsonl: empty; name a file"):
        plan_splits(InputConfig(paths=(str(empty),)))


def test_damaged_first_line_costs_only_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", b'\xff{"text": \n\n' + JSONL * 2)
    (split,) = plan_splits(InputConfig(paths=(str(path),)))
    assert [type(item) for item in read(split)] == [Damaged, Record, Record]


def test_file_with_several_names_is_read_once(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.jsonl", JSONL)
    (tmp_path / "in" / "latest.jsonl").symlink_to("a.jsonl")
    (tmp_path / "again").symlink_to("in")
    planned = plan(InputConfig(paths=(str(tmp_path),)))
    assert len(planned.splits) == 1
    assert {cause.partition(":")[0] for cause in planned.skipped.values()} == {"another name of a file"}


def test_snapshot_of_the_hugging_face_cache_is_read(tmp_path: Path) -> None:
    repository = tmp_path / "datasets--user--name"
    blob = write(repository / "blobs" / ("ab" * 32), JSONL)
    data = repository / "snapshots" / ("0" * 40) / "data"
    data.mkdir(parents=True)
    (data / "train.jsonl").symlink_to(f"../../../blobs/{blob.name}")
    write(repository / "refs" / "main", b"0" * 40)
    for path in (data, repository):
        planned = plan(InputConfig(paths=(str(path),)))
        assert [split.path for split in planned.splits] == [str(data / "train.jsonl")]
    assert planned.skipped[str(blob)] == f"another name of a file: {data / 'train.jsonl'}"

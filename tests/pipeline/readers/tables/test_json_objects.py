"""JSON that has no object per line: arrays, objects on several lines, UTF-16."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.config import ColumnsConfig
from pipeline.readers import read
from pipeline.readers.recognition import detect_format, is_splittable
from pipeline.readers.record import Damaged, InputSplit, Item, Record

repeated = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
ROWS = [{"text": f'"{number}"\n{{ [ \\ }}', "meta": {"list": [{}, {"a": "}"}]}} for number in range(5)]


def items(path: Path, data: bytes) -> list[Item]:
    path.write_bytes(data)
    return list(read(InputSplit(str(path), path.name, "jsonl", "", 0, len(data))))


def bodies(found: list[Item]) -> list[str | bytes]:
    return [item.body for item in found if isinstance(item, Record)]


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b"\n \n"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_arrays_are_read(tmp_path: Path, indent: int | None, mark: bytes, pack) -> None:
    path = tmp_path / "a.json"
    found = items(path, pack(mark + json.dumps(ROWS, indent=indent).encode()))
    assert bodies(found) == [row["text"] for row in ROWS]
    assert len(found) == len(ROWS)
    assert detect_format(str(path), path.stat().st_size, ColumnsConfig()) == "jsonl"
    assert not is_splittable(str(path), "jsonl")


def test_objects_on_several_lines_are_read(tmp_path: Path) -> None:
    data = "\n".join(json.dumps(row, indent=2) for row in ROWS)
    assert bodies(items(tmp_path / "a.json", data.encode())) == [row["text"] for row in ROWS]


def test_trailing_commas_between_objects_do_not_matter(tmp_path: Path) -> None:
    data = b"[" + b"".join(json.dumps(row).encode() + b",\n" for row in ROWS) + b"]\n"
    assert bodies(items(tmp_path / "a.json", data)) == [row["text"] for row in ROWS]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("in_lines", [True, False])
def test_wide_encodings_are_read(tmp_path: Path, encoding: str, in_lines: bool) -> None:
    content = "\n".join(map(json.dumps, ROWS)) if in_lines else json.dumps(ROWS)
    found = items(tmp_path / "a.json", content.encode(encoding))
    assert bodies(found) == [row["text"] for row in ROWS]


@pytest.mark.parametrize("bad", [b'{"text": "cut', b'{"text": }', b"nonsense", b'{"text": 1, }'])
def test_a_damaged_object_of_an_array_costs_itself(tmp_path: Path, bad: bytes) -> None:
    lines = [json.dumps(row).encode() for row in ROWS]
    data = b"[\n" + b",\n".join([*lines[:2], bad, *lines[2:]]) + b"\n]"
    found = items(tmp_path / "a.json", data)
    assert bodies(found) == [row["text"] for row in ROWS]
    assert [type(item) for item in found].count(Damaged) == 1


@repeated
@given(
    rows=st.lists(st.fixed_dictionaries({"text": st.text()}, optional={"x": st.text()}), min_size=1),
    indent=st.sampled_from([None, 0, 1]),
    cut=st.integers(0, 400),
)
def test_objects_before_a_cut_are_read(tmp_path: Path, rows: list[dict], indent, cut: int) -> None:
    data = json.dumps(rows, indent=indent).encode()
    kept = data[: max(1, len(data) - cut)]
    texts = bodies(items(tmp_path / "a.json", kept))
    assert texts == [row["text"] for row in rows][: len(texts)]
    assert len(texts) == len(rows) or cut

import bz2
import gzip
import json
import random

import pyarrow as pa
import pytest

from core.config import DecontaminationConfig
from core.errors import InputError
from pipeline.decontamination import Item, read_sets
from pipeline.decontamination.evaluation_sets import set_names

LINES = [{"question": "How far?", "answer": {"short": "4 km", "choices": ["4 km", "5 km"]}, "label": 1}]


def _write(path, objects=LINES):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in objects))
    return path


def _read(*paths, fields=()):
    return read_sets(DecontaminationConfig(paths=tuple(map(str, paths)), fields=fields))


def test_a_field_holds_every_text_below_it(tmp_path):
    path = _write(tmp_path / "set.jsonl")
    assert _read(path)[0].items == [Item(1, ("How far?", "4 km", "4 km", "5 km"))]
    assert _read(path, fields=("question",))[0].items == [Item(1, ("How far?",))]
    assert _read(path, fields=("answer.choices",))[0].items == [Item(1, ("4 km", "5 km"))]
    assert _read(path, fields=("answer",))[0].items == [Item(1, ("4 km", "4 km", "5 km"))]


def test_objects_in_lists_have_fields(tmp_path):
    turns = [{"by": "a", "text": "Hello."}, {"by": "b", "text": "Yes?"}]
    path = _write(tmp_path / "set.jsonl", [{"turns": turns}])
    assert _read(path, fields=("turns.text",))[0].items == [Item(1, ("Hello.", "Yes?"))]


@pytest.mark.parametrize("extension", ["", ".gz", ".bz2", ".zst"])
def test_compressed_files_have_the_same_items_and_name(tmp_path, extension):
    data = _write(tmp_path / "plain" / "set.jsonl").read_bytes()
    compress = {
        "": bytes,
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".zst": lambda each: pa.compress(each, codec="zstd", asbytes=True),
    }[extension]
    path = tmp_path / f"set.jsonl{extension}"
    # Several members or frames are one content.
    path.write_bytes(compress(data) + compress(data))
    (found,) = _read(path)
    assert found.name == "set"
    assert [item.line for item in found.items] == [1, 2]


def test_a_damaged_archive_is_refused_because_items_would_be_missed(tmp_path):
    words = " ".join(random.Random(0).choices("abcdefghij", k=2000))
    path = tmp_path / "set.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps({"text": words}).encode() * 9)[:-20])
    with pytest.raises(InputError, match=r"set\.jsonl\.gz: the gzip data is damaged"):
        _read(path)


def test_a_bad_line_costs_itself(tmp_path):
    path = tmp_path / "set.jsonl"
    good = json.dumps({"text": "Good."}).encode()
    bad = [b"{", b"[1]", b'{"text": "\xff"}', b'{"text": "\\ud800"}', b'{"other": "x"}', b'{"text": 5}']
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join([good, b"", *bad, good]))
    (found,) = _read(path, fields=("text",))
    assert [item.line for item in found.items] == [1, 9]
    assert found.unusable_lines == len(bad)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"{", b"no JSON\n", b"\x00\xff" * 9, b'{"label": 1}\n'])
def test_a_file_without_items_is_refused(tmp_path, content):
    path = tmp_path / "set.jsonl"
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=r"set\.jsonl: holds no evaluation items \(.*must name JSONL files"
    ) as error:
        _read(path)
    assert "\n" not in str(error.value)


def test_errors_name_the_fields_that_exist(tmp_path):
    first = _write(tmp_path / "first.jsonl", [{"goal": "x", "sol": {"a": "y"}}])
    second = _write(tmp_path / "second.jsonl", [{"question": "z"}])
    with pytest.raises(
        InputError, match=r"first\.jsonl: no line has text in the fields gaol; .* goal, sol\.a"
    ):
        _read(first, fields=("gaol",))
    assert len(_read(first, second, fields=("goal", "question"))) == 2
    with pytest.raises(InputError, match=r"decontamination\.fields: .*'answer'.* goal, question, sol\.a"):
        _read(first, second, fields=("goal", "question", "answer"))


def test_a_missing_path_is_refused(tmp_path):
    with pytest.raises(InputError, match="nothing there"):
        _read(tmp_path / "nothing.jsonl")


def test_files_are_read_once_in_the_order_of_their_paths(tmp_path):
    for name in ("b", "a", "c"):
        _write(tmp_path / f"{name}.jsonl")
    found = _read(tmp_path / "c.jsonl", tmp_path, f"{tmp_path}/*.jsonl")
    assert [each.name for each in found] == ["a", "b", "c"]


def test_names_of_sets_differ():
    assert set_names(["/x/piqa.valid.jsonl.gz", "/x/gsm8k.JSONL"]) == ["piqa.valid", "gsm8k"]
    assert set_names(["/x/piqa/test.jsonl", "/x/boolq/test.jsonl"]) == ["piqa/test", "boolq/test"]
    assert set_names(["/x/a.jsonl", "/x/a.jsonl.gz"]) == ["/x/a.jsonl", "/x/a.jsonl.gz"]
    assert set_names([]) == []


def test_content_decides_the_checksum(tmp_path):
    first = _read(_write(tmp_path / "one" / "set.jsonl"))[0]
    again = _read(_write(tmp_path / "two" / "set.jsonl"))[0]
    other = _read(_write(tmp_path / "two" / "set.jsonl", [*LINES, *LINES]))[0]
    assert first.sha256 == again.sha256 != other.sha256

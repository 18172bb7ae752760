import bz2
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.config import ColumnsConfig, InputConfig
from pipeline.ledger import Reason
from pipeline.readers import lines as line_reader
from pipeline.readers import read
from pipeline.readers.inputs import plan_splits
from pipeline.readers.record import Damaged, InputSplit, Item, Record, Skipped

repeated = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


def items(path: Path, data: bytes) -> list[Item]:
    path.write_bytes(data)
    return list(read(InputSplit(str(path), path.name, "jsonl", "jsonl", 0, len(data))))


def lines(texts: list[str]) -> bytes:
    return b"".join(json.dumps({"text": text, "url": "u", "n": 1}).encode() + b"\n" for text in texts)


@repeated
@given(
    texts=st.lists(st.text(alphabet=st.characters(), max_size=50), max_size=10),
    pack=st.sampled_from([bytes, gzip.compress, bz2.compress, zstd.compress]),
)
def test_every_line_is_read_once(tmp_path: Path, texts: list[str], pack) -> None:
    found = items(tmp_path / "a.jsonl", pack(lines(texts)))
    assert [item.body for item in found if isinstance(item, Record)] == texts
    assert len(found) == len(texts)
    data = lines(texts)
    for item, text in zip(found, texts, strict=True):
        line = data[item.origin.offset : item.origin.offset + item.origin.length]
        assert json.loads(line)["text"] == text


def test_fields_are_read_by_name(tmp_path: Path) -> None:
    line = {"text": "t", "url": "http://example.org/", "title": "T", "language": "da", "id": 3}
    full, bare = items(tmp_path / "a.jsonl", json.dumps(line).encode() + b'\n\n{"text":"x","url":null}')
    assert isinstance(full, Record)
    assert (full.url, full.title, full.language) == ("http://example.org/", "T", "da")
    assert isinstance(bare, Record)
    assert (bare.url, bare.title, bare.language) == ("", "", "")


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b'{"text": 3}', b'{"body": "x"}', b'{"text": "\xff"}', b"[" * 100_000]
)
def test_malformed_line_costs_only_itself(tmp_path: Path, line: bytes) -> None:
    before, damaged, after = items(tmp_path / "a.jsonl", lines(["a"]) + line + b"\n" + lines(["b"]))
    assert isinstance(damaged, Damaged)
    assert (damaged.origin.offset, damaged.origin.length) == (len(lines(["a"])), len(line) + 1)
    assert isinstance(before, Record)
    assert isinstance(after, Record)


def test_too_long_line_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_reader, "MAX_BYTES", 100)
    before, long, after = items(tmp_path / "a.jsonl", lines(["a", "b" * 3_000_000, "c"]))
    assert isinstance(long, Skipped)
    assert long.drop.reason == Reason.TOO_LARGE
    assert long.origin.length > 3_000_000
    assert isinstance(before, Record)
    assert isinstance(after, Record)


@repeated
@given(share=st.floats(0.0, 0.999))
def test_truncated_file_keeps_the_lines_before_the_cut(tmp_path: Path, share: float) -> None:
    texts = [str(number) * 9 for number in range(200)]
    data = gzip.compress(lines(texts))
    *before, last = items(tmp_path / "a.jsonl", data[: max(3, int(len(data) * share))])
    assert isinstance(last, Damaged)
    assert [item.body for item in before if isinstance(item, Record)] == texts[: len(before)]


@repeated
@given(
    texts=st.lists(st.text(max_size=30), max_size=30),
    blanks=st.lists(st.integers(0, 30), max_size=3),
    split_bytes=st.integers(1, 200),
)
def test_every_line_is_in_exactly_one_split(
    tmp_path: Path, texts: list[str], blanks, split_bytes: int
) -> None:
    parts = lines(texts).splitlines(keepends=True)
    for at in blanks:
        parts.insert(at, b"\n")
    data = b"".join(parts)
    whole = items(tmp_path / "a.jsonl", data)
    path = str(tmp_path / "a.jsonl")
    splits = [
        InputSplit(path, "a.jsonl", "jsonl", "", at, split_bytes) for at in range(0, len(data), split_bytes)
    ]
    assert [item for split in splits for item in read(split)] == whole


def test_only_uncompressed_files_are_split(tmp_path: Path) -> None:
    data = lines(["x" * 1000] * 300)
    (tmp_path / "a.jsonl").write_bytes(data)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(data, 0))
    splits = plan_splits(InputConfig(paths=(str(tmp_path),), split_bytes=1 << 16))
    assert [split.file_name for split in splits].count("b.jsonl.gz") == 1
    assert len(splits) == 1 + -(-len(data) // (1 << 16))
    found = [item.body for split in splits for item in read(split) if isinstance(item, Record)]
    assert found == ["x" * 1000] * 600


def test_configured_columns_are_read(tmp_path: Path) -> None:
    line = {"content": "t", "meta": {"link": "u", "when": "2024-01-02T03:04:05Z"}, "url": "other"}
    path = tmp_path / "a.jsonl"
    path.write_bytes(json.dumps(line).encode())
    columns = ColumnsConfig(text="content", url="meta.link", date="meta.when")
    (found,) = read(InputSplit(str(path), path.name, "jsonl", "", 0, 1000), columns)
    assert isinstance(found, Record)
    assert (found.body, found.url, found.title) == ("t", "u", "")
    assert found.fetched_at == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_lone_surrogates_are_replaced_in_every_field(tmp_path: Path) -> None:
    row = {"text": "t", "url": "u\ud83d", "title": "\udce9", "language": "\udce9", "license": "\ud83d\ude00"}
    line = json.dumps(row).encode()
    key = b'{"caf\\udce9": "no text"}'
    record, damaged = items(tmp_path / "a.jsonl", line + b"\n" + key)
    assert isinstance(record, Record)
    fields = (record.url, record.title, record.language, record.license)
    assert fields == ("u\ufffd", "\ufffd", "\ufffd", "\U0001f600")
    assert isinstance(damaged, Damaged)
    assert damaged.error.endswith("caf\ufffd")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ("text", "url", "title", "language", "date", "license", "metadata", "score")


@repeated
@given(row=st.dictionaries(st.sampled_from(FIELDS), JSON), suffix=st.binary(max_size=5))
def test_values_of_any_type_cost_at_most_their_row(tmp_path: Path, row: dict, suffix: bytes) -> None:
    data = json.dumps(row).encode() + suffix.replace(b"\n", b"") + b"\n" + lines(["after"])
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)
    split = InputSplit(str(path), path.name, "jsonl", "", 0, len(data))
    found = list(read(split, kept=("score", "metadata")))
    assert isinstance(found[-1], Record)
    assert len(found) == 2
    for item in found:
        assert not isinstance(item, Damaged) or "the rest" not in item.error


def test_numbers_of_any_size_are_read(tmp_path: Path) -> None:
    numbers = ("9" * 5000, "1e400", "-1e400", "NaN", "Infinity")
    data = "".join(f'{{"text": "t", "n": {number}, "date": {number}}}\n' for number in numbers)
    found = items(tmp_path / "a.jsonl", data.encode())
    assert [type(item) for item in found] == [Record] * len(numbers)


def test_kept_columns_are_strings_or_json(tmp_path: Path) -> None:
    row = {"text": "t", "dump": "x", "score": 0.5, "tags": ["é", {"a": None}], "meta": {"n": 3}, "null": None}
    path = tmp_path / "a.jsonl"
    path.write_bytes(json.dumps(row).encode())
    kept = ("dump", "score", "tags", "meta", "meta.n", "null", "missing")
    (found,) = read(InputSplit(str(path), path.name, "jsonl", "", 0, 1000), kept=kept)
    assert isinstance(found, Record)
    assert found.metadata == {
        "dump": "x",
        "score": "0.5",
        "tags": '["é", {"a": null}]',
        "meta": '{"n": 3}',
        "meta.n": "3",
        "null": None,
        "missing": None,
    }

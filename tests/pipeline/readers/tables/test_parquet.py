import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.config import ColumnsConfig, InputConfig
from core.errors import ConfigError, InputError
from pipeline.ledger import Reason
from pipeline.readers import read
from pipeline.readers.inputs import plan_splits
from pipeline.readers.record import Damaged, InputSplit, Item, Origin, Record, Skipped
from pipeline.readers.tables import columns

FINEWEB = {
    "text": ["A page."],
    "id": ["<urn:uuid:0d8a309d-25c5-405d-a08a-c11239f0d717>"],
    "dump": ["CC-MAIN-2013-20"],
    "url": ["http://example.org/a"],
    "date": ["2013-05-18T05:48:54Z"],
    "file_path": ["s3://commoncrawl/crawl-data/x.warc.gz"],
    "language": ["en"],
    "language_score": [0.98],
    "token_count": [3],
}
DOLMA = {
    "id": ["1"],
    "text": ["A paper."],
    "source": ["pes2o"],
    "added": ["2023-07-01T00:00:00Z"],
    "created": ["2016-05-21T21:24:24.000Z"],
    "metadata": [{"url": "http://example.org/b", "title": "B", "license": "CC-BY", "length": 8}],
}
repeated = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


def split(path: Path, start: int = 0, length: int | None = None) -> InputSplit:
    return InputSplit(
        str(path), path.name, "parquet", "", start, path.stat().st_size if length is None else length
    )


def items(path: Path, wanted: ColumnsConfig = ColumnsConfig()) -> list[Item]:  # noqa: B008 (it is frozen)
    return list(read(split(path), wanted))


def write(path: Path, table: dict, **options) -> Path:
    pq.write_table(pa.table(table), path, **options)
    return path


def test_fineweb_and_dolma_need_no_configuration(tmp_path: Path) -> None:
    (page,) = items(write(tmp_path / "fineweb", FINEWEB))
    assert page == Record(
        origin=Origin(0, 0),
        url="http://example.org/a",
        title="",
        fetched_at=datetime(2013, 5, 18, 5, 48, 54, tzinfo=UTC),
        license="",
        media="text",
        body="A page.",
        language="en",
    )
    (paper,) = items(write(tmp_path / "dolma", DOLMA))
    assert isinstance(paper, Record)
    assert (paper.url, paper.title, paper.license) == ("http://example.org/b", "B", "CC-BY")
    assert paper.fetched_at == datetime(2016, 5, 21, 21, 24, 24, tzinfo=UTC)


def test_configured_columns_of_any_text_type_are_read(tmp_path: Path) -> None:
    table = {
        "content": pa.array(["one", "two", None]).dictionary_encode(),
        "raw": pa.array([b"\xe9t\xe9", b"", b"x"]),
        "when": pa.array([datetime(2024, 1, 2), None, None], pa.timestamp("ms")),
        "meta": [{"a": {"link": "u"}}, {"a": None}, None],
    }
    path = write(tmp_path / "a", table)
    first, second, third = items(path, ColumnsConfig(text="content", url="meta.a.link", date="when"))
    assert isinstance(first, Record)
    assert (first.body, first.url, first.fetched_at) == ("one", "u", datetime(2024, 1, 2, tzinfo=UTC))
    assert isinstance(second, Record)
    assert (second.url, second.fetched_at) == ("", None)
    assert isinstance(third, Damaged)
    assert third.error.startswith("column 'content' holds")
    raw, *_ = items(path, ColumnsConfig(text="raw"))
    assert isinstance(raw, Record)
    assert raw.body == b"\xe9t\xe9"


@repeated
@given(
    texts=st.lists(st.text(max_size=20), min_size=1, max_size=60),
    group=st.integers(1, 20),
    split_bytes=st.integers(1, 3000),
)
def test_every_row_is_in_exactly_one_split(
    tmp_path: Path, texts: list[str], group: int, split_bytes: int
) -> None:
    texts = [text.encode("utf-8", "ignore").decode() for text in texts]
    path = write(tmp_path / "a", {"text": texts}, row_group_size=group)
    whole = items(path)
    assert [item.body for item in whole if isinstance(item, Record)] == texts
    assert [item.origin for item in whole] == [Origin(row, 0) for row in range(len(texts))]
    splits = [split(path, at, split_bytes) for at in range(0, path.stat().st_size, split_bytes)]
    assert [item for each in splits for item in read(each)] == whole


def test_large_files_are_split(tmp_path: Path) -> None:
    texts = [str(number) * 3000 for number in range(100)]
    path = write(tmp_path / "a", {"text": texts}, row_group_size=10, compression="none", use_dictionary=False)
    splits = plan_splits(InputConfig(paths=(str(path),), split_bytes=1 << 16))
    assert len(splits) > 5
    assert [item.body for each in splits for item in read(each) if isinstance(item, Record)] == texts


def test_damage_costs_only_its_row_group(tmp_path: Path) -> None:
    texts = [f"{number} " * 100 for number in range(40)]
    options = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    path = write(tmp_path / "a", {"text": texts}, row_group_size=10, **options)
    begin = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[begin + 1000] ^= 0xFF
    path.write_bytes(data)
    found = items(path)
    assert [item.body for item in found if isinstance(item, Record)] == texts[:10] + texts[20:]
    (damaged,) = (item for item in found if isinstance(item, Damaged))
    assert damaged.origin == Origin(10, 0)
    assert damaged.error.startswith("10 rows of row group 1 are lost")


@repeated
@given(share=st.floats(0.1, 0.999))
def test_truncated_file_is_one_damage(tmp_path: Path, share: float) -> None:
    path = write(tmp_path / "a.parquet", FINEWEB)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    (planned,) = plan_splits(InputConfig(paths=(str(path),)))
    (damaged,) = read(planned)
    assert isinstance(damaged, Damaged)
    assert damaged.error.startswith("not a whole Parquet file")


def test_invalid_values_cost_only_their_row(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xff", b"ok"]).buffers())
    path = write(tmp_path / "a", {"text": bad})
    damaged, sound = items(path)
    assert isinstance(damaged, Damaged)
    assert isinstance(sound, Record)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "Not/AZone"])
def test_dates_out_of_range_are_missing(tmp_path: Path, unit: str, zone: str | None) -> None:
    factor = {"ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    values = pa.array([1_714_557_600 * factor, 2**62, -(2**62), None], pa.int64())
    path = write(tmp_path / "a", {"text": list("abcd"), "date": values.cast(pa.timestamp(unit, zone))})
    found = items(path)
    assert [item.body for item in found if isinstance(item, Record)] == list("abcd")
    dates = [item.fetched_at for item in found if isinstance(item, Record)]
    assert dates[0] == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert all(date is None or unit == "ns" for date in dates[1:])


def test_too_long_text_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MAX_BYTES", 100)
    long, short = items(write(tmp_path / "a", {"text": ["x" * 101, "y"]}))
    assert isinstance(long, Skipped)
    assert long.drop.reason == Reason.TOO_LARGE
    assert isinstance(short, Record)


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()],
    ids=str,
)
@pytest.mark.parametrize("encoded", [False, True])
def test_text_of_every_type_is_read(tmp_path: Path, kind: pa.DataType, encoded: bool) -> None:
    values = pa.array(["one", "zwei", None]).cast(kind)
    if encoded and kind not in (pa.string_view(), pa.binary_view()):
        values = values.dictionary_encode()
    path = write(tmp_path / "a.parquet", {"text": values, "url": values})
    (planned,) = plan_splits(InputConfig(paths=(str(path),)))
    first, second, third = read(planned)
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert (first.body, second.body) in (("one", "zwei"), (b"one", b"zwei"))
    assert (first.url, second.url) == ("one", "zwei")
    assert isinstance(third, Damaged)
    assert third.error == "column 'text' holds null, not text"


def test_first_of_columns_with_equal_names_counts(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"]), pa.array(["u"])], ["text", "text", "url"])
    pq.write_table(table, tmp_path / "a")
    (found,) = items(tmp_path / "a")
    assert isinstance(found, Record)
    assert (found.body, found.url) == ("a", "u")


def test_days_lists_maps_and_old_timestamps_are_read(tmp_path: Path) -> None:
    table = {
        "text": ["a", "b"],
        "language": [["en"], ["en", "de"]],
        "date": pa.array([19844, 2**31 - 1], pa.date32()),
        "metadata": pa.array([[("url", "u")], None], pa.map_(pa.string(), pa.string())),
    }
    first, second = items(write(tmp_path / "a", table))
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert (first.language, first.url) == ("en", "u")
    assert first.fetched_at == datetime(2024, 5, 1, tzinfo=UTC)
    assert (second.language, second.url, second.fetched_at) == ("en", "", None)
    when = pa.array([datetime(1500, 1, 1), datetime(2024, 5, 1)], pa.timestamp("us"))
    old = write(tmp_path / "b", {"text": ["a", "b"], "date": when}, use_deprecated_int96_timestamps=True)
    found = [item.fetched_at for item in items(old) if isinstance(item, Record)]
    assert found == [datetime(1500, 1, 1, tzinfo=UTC), datetime(2024, 5, 1, tzinfo=UTC)]


def test_kept_columns_are_read_and_must_exist(tmp_path: Path) -> None:
    table = {"text": ["a"], "score": [0.5], "meta": [{"tag": "x", "when": datetime(2024, 5, 1)}]}
    path = write(tmp_path / "a.parquet", table)
    (found,) = read(split(path), kept=("score", "meta", "meta.tag"))
    assert isinstance(found, Record)
    assert found.metadata == {
        "score": "0.5",
        "meta": '{"tag": "x", "when": "2024-05-01T00:00:00+00:00"}',
        "meta.tag": "x",
    }
    with pytest.raises(InputError, match=r"no column 'none'; the columns are .*set input\.keep_columns"):
        plan_splits(InputConfig(paths=(str(path),), keep_columns=("none",)))


def test_columns_are_kept_of_tables_only(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The ferry arrives.\n")
    book = InputConfig(paths=(str(tmp_path / "a.txt"),), keep_columns=("score", "dump"))
    with pytest.raises(ConfigError, match=r"keep_columns: score, dump: only tables have columns"):
        plan_splits(book)
    (tmp_path / "b.jsonl").write_text('{"text": "t", "score": 1}\n')
    assert len(plan_splits(InputConfig(paths=(str(tmp_path),), keep_columns=("score",)))) == 2


def test_maps_may_repeat_keys(tmp_path: Path) -> None:
    meta = pa.array([[("url", "a"), ("url", "b")]], pa.map_(pa.string(), pa.string()))
    nested = pa.list_(pa.struct([("a", pa.map_(pa.string(), pa.int8()))]))
    more = pa.array([[{"a": [("k", 1), ("k", 2)]}]], nested)
    path = write(tmp_path / "a", {"text": ["t"], "metadata": meta, "more": more})
    (found,) = read(split(path), kept=("more",))
    assert isinstance(found, Record)
    assert (found.url, found.metadata) == ("b", {"more": '[{"a": {"k": 2}}]'})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["", "zxx", "French", "de"], "French"),
        (["en"], "en"),
        ([None, "en-GB"], "en-GB"),
        ([], ""),
        ({"de": 0.9, "en": 0.1}, "de"),
        ([3, {"a": 1}], ""),
        (["unknown", "none"], "unknown"),
    ],
)
def test_the_first_language_of_a_list_counts(value: object, expected: str) -> None:
    row = {"text": "t", "language": value}
    found = columns.record(row, columns.column_mapping(ColumnsConfig()), Origin(0, 0))
    assert isinstance(found, Record)
    assert found.language == expected


@repeated
@given(at=st.floats(0, 0.999), data=st.binary(min_size=1, max_size=8), seed=st.booleans())
def test_no_byte_ends_the_reading(tmp_path: Path, at: float, data: bytes, seed: bool) -> None:
    path = write(tmp_path / "a", DOLMA if seed else FINEWEB)
    content = bytearray(path.read_bytes())
    start = int(at * len(content))
    content[start : start + len(data)] = data
    path.write_bytes(content)
    for item in items(path):
        assert not isinstance(item, Damaged) or "the rest" not in item.error


def test_batches_of_large_rows_are_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    read = pq.ParquetFile.iter_batches

    def spy(file: pq.ParquetFile, batch_size: int, **options: Any) -> Iterator[pa.RecordBatch]:
        for batch in read(file, batch_size, **options):
            sizes.append(batch.nbytes)
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
    texts = [random.Random(seed).randbytes(3_000_000).hex() for seed in range(12)]
    found = items(write(tmp_path / "a", {"text": [*texts, *["small"] * 12]}))
    assert [item.body for item in found if isinstance(item, Record)] == [*texts, *["small"] * 12]
    assert max(sizes) <= 1 << 25

from pathlib import Path

import pytest

from core.errors import InputError
from pipeline.ledger import Reason
from pipeline.readers import read
from pipeline.readers.record import Damaged, InputSplit, Item, Skipped
from pipeline.readers.warc import indexed
from tests.pipeline.readers.warc.warcs import members, record, single_split
from tests.servers.web import web_server

PAGES = [record(b"<p>page %d" % n, url=f"http://example.org/{n}") for n in range(50)]
NOT_PAGES = [
    record(b"", record_type="revisit"),
    record(b"x", http="HTTP/1.1 404 Gone\r\n"),
    b"WARC/1.0\r\nno record",
]


@pytest.fixture(params=["a.warc.gz", "a.warc"])
def path(request, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    path.write_bytes(b"".join(members(PAGES + NOT_PAGES) if path.suffix == ".gz" else PAGES))
    return path


def record_splits(path: Path, items: list[Item], root: str = "") -> list[InputSplit]:
    """Return the splits that an index of these items selects."""
    return [
        InputSplit(root or str(path), path.name, "warc", "", item.origin.offset, item.origin.length)
        for item in items
    ]


def test_indexed_records_equal_those_of_the_whole_file(path: Path) -> None:
    full = list(read(single_split(path)))
    for chosen in (full, full[::7], full[-1:], []):
        records = record_splits(path, chosen)
        assert list(indexed.read(records)) == list(zip(records, chosen, strict=True))


def test_each_record_is_fetched_by_one_request(path: Path) -> None:
    chosen = list(read(single_split(path)))[3::5]
    with web_server(path.parent) as web:
        found = list(indexed.read(record_splits(path, chosen, f"{web.url}/{path.name}")))
        assert [item for _, item in found] == chosen
        assert sorted((response.start, response.length) for response in web.responses) == [
            (item.origin.offset, item.origin.length) for item in chosen
        ]
        assert web.sent == sum(item.origin.length for item in chosen)


@pytest.mark.parametrize(
    ("start", "length"), [(-1, 10), (0, 0), (0, -5), (10_000_000, 100), (0, 10_000_000), (10, 50)]
)
def test_wrong_index_entry_is_damage(path: Path, start: int, length: int) -> None:
    local = InputSplit(str(path), path.name, "warc", "", start, length)
    with web_server(path.parent) as web:
        remote = InputSplit(f"{web.url}/{path.name}", path.name, "warc", "", start, length)
        for split in (local, remote):
            ((_, item),) = indexed.read([split])
            assert isinstance(item, Damaged)
            assert item.origin.offset == start


def test_too_large_record_is_not_fetched(path: Path) -> None:
    ((_, item),) = indexed.read([InputSplit(str(path), path.name, "warc", "", 0, 1 << 40)])
    assert isinstance(item, Skipped)
    assert item.drop.reason == Reason.TOO_LARGE


def test_missing_file_is_reported_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.warc\.gz: no such file"):
        list(indexed.read([InputSplit(str(tmp_path / "none.warc.gz"), "none", "warc", "", 0, 10)]))

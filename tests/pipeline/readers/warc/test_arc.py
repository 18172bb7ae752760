import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core import config
from pipeline.ledger import Reason
from pipeline.readers import read
from pipeline.readers.inputs import plan_splits
from pipeline.readers.record import Damaged, Record, Skipped
from tests.pipeline.readers.warc.warcs import items

VERSION = b"1 0 InternetArchive\nURL IP-address Archive-date Content-type Archive-length\n"
HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=koi8-r\r\n\r\n<p>page"


def arc(url: str, media: str, block: bytes, version_2: bool = False) -> bytes:
    more = " 200 ABCDEF - 1234 a.arc" if version_2 else ""
    return f"{url} 192.0.2.1 20040712071243 {media}{more} {len(block)}\n".encode() + block + b"\n"


def join(records: list[bytes], compression: str) -> bytes:
    return b"".join(map(gzip.compress, records) if compression == "gzip" else records)


@pytest.mark.parametrize("compression", ["plain", "gzip"])
@pytest.mark.parametrize("version_2", [False, True])
def test_arc_records_are_pages_or_skipped(tmp_path: Path, compression: str, version_2: bool) -> None:
    records = [
        arc("filedesc://a.arc", "text/plain", VERSION, version_2),
        arc("dns:example.org", "text/dns", b"20040712071242\nexample.org. 1 IN A 192.0.2.1\n", version_2),
        arc("http://example.org/a b", "text/html", HTTP, version_2),
        arc("http://example.org/gone", "text/html", b"HTTP/1.0 404 Not Found\r\n\r\n", version_2),
        arc("http://example.org/c", "text/html", b"<p>no HTTP was kept", version_2),
        arc("http://example.org/d", "no-type", b"<!DOCTYPE html><p>", version_2),
    ]
    found = items(tmp_path / "a.arc", join(records, compression))
    assert [item.drop.reason for item in found if isinstance(item, Skipped)] == [
        Reason.RECORD_TYPE,
        Reason.MEDIA_TYPE,
        Reason.HTTP_STATUS,
    ]
    pages = [item for item in found if isinstance(item, Record)]
    assert [(page.url, page.body, page.charset) for page in pages] == [
        ("http://example.org/a b", b"<p>page", "koi8-r"),
        ("http://example.org/c", b"<p>no HTTP was kept", None),
        ("http://example.org/d", b"<!DOCTYPE html><p>", None),
    ]
    assert pages[0].fetched_at == datetime(2004, 7, 12, 7, 12, 43, tzinfo=UTC)


@pytest.mark.parametrize("compression", ["plain", "gzip"])
def test_splits_read_every_arc_record_once(tmp_path: Path, compression: str) -> None:
    records = [arc(f"http://example.org/{n}", "text/html", HTTP + b"x" * 999 * n) for n in range(40)]
    path = tmp_path / "a.arc"
    expected = items(path, join(records, compression) * (1 if compression == "plain" else 80))
    settings = config.InputConfig(paths=(str(path),), split_bytes=1 << 16)
    splits = plan_splits(settings)
    assert len(splits) > 5
    assert [item for split in splits for item in read(split, settings.columns)] == expected
    assert all(isinstance(item, Record) for item in expected)


def test_wrong_length_costs_only_its_record(tmp_path: Path) -> None:
    wrong = arc("http://example.org/1", "text/html", HTTP).replace(b"%d\n" % len(HTTP), b"7\n", 1)
    records = [arc("http://example.org/0", "text/html", HTTP), wrong, arc("http://b/", "text/html", HTTP)]
    before, damaged, after = items(tmp_path / "a.arc", b"".join(records))
    assert isinstance(before, Record)
    assert isinstance(damaged, Damaged)
    assert damaged.origin.length == len(wrong)
    assert isinstance(after, Record)

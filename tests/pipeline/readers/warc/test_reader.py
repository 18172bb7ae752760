import gzip
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from pipeline.ledger import Reason
from pipeline.readers import read
from pipeline.readers.record import MAX_BYTES, Damaged, InputSplit, Record, Skipped
from pipeline.readers.warc import framing, reader
from pipeline.readers.warc import members as member_reader
from tests.pipeline.readers.warc.warcs import items, members, record
from tests.pipeline.readers.warc.warcs import warc as raw_record

PAGES = [record(b"<p>page %d</p>" % number * 40, f"http://example.org/{number}") for number in range(6)]
repeated = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def urls(found: list) -> list[str]:
    return [item.url for item in found if isinstance(item, Record)]


@pytest.mark.parametrize("data", [b"".join(members(PAGES)), b"".join(PAGES), gzip.compress(b"".join(PAGES))])
def test_every_compression_yields_the_same_records(tmp_path: Path, data: bytes) -> None:
    found = items(tmp_path / "a.warc", data)
    assert urls(found) == [f"http://example.org/{number}" for number in range(6)]
    assert len({item.origin.offset for item in found}) == 6
    assert found[2].body == b"<p>page 2</p>" * 40
    assert found[2].fetched_at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert (found[2].charset, found[2].media) == ("utf-8", "html")


@pytest.mark.parametrize("pack", [members, list])
def test_origin_is_the_byte_range_of_the_record(tmp_path: Path, pack) -> None:
    packed = pack(PAGES)
    for item, expected in zip(items(tmp_path / "a.warc", b"".join(packed)), packed, strict=True):
        stored = (tmp_path / "a.warc").read_bytes()[item.origin.offset :][: item.origin.length]
        assert stored == expected


def test_records_that_are_not_pages_are_skipped_with_a_reason(tmp_path: Path) -> None:
    html = "Content-Type: text/html\r\n"
    data = [
        raw_record(b"software: test\r\n", "", "warcinfo", "application/warc-fields"),
        record(b"", record_type="request", http="GET / HTTP/1.1\r\n"),
        record(b"", record_type="revisit", http=f"HTTP/1.1 200 OK\r\n{html}"),
        record(b"gone", http=f"HTTP/1.1 404 Not Found\r\n{html}"),
        record(b"\x89PNG", http="HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"),
        raw_record(b"1.2.3.4", "dns:example.org", "response", "text/dns"),
        record(b"\x89PNG\r\n\x1a\n\0\0\0", http="HTTP/1.1 200 OK\r\n"),
    ]
    found = items(tmp_path / "a.warc.gz", b"".join(members(data)))
    assert [(item.drop.reason, item.drop.value) for item in found if isinstance(item, Skipped)] == [
        (Reason.RECORD_TYPE, None),
        (Reason.RECORD_TYPE, None),
        (Reason.REVISIT, None),
        (Reason.HTTP_STATUS, 404.0),
        (Reason.MEDIA_TYPE, None),
        (Reason.MEDIA_TYPE, None),
        (Reason.MEDIA_TYPE, None),
    ]


def test_unusual_records_are_pages(tmp_path: Path) -> None:
    data = [
        raw_record(b"<p>page", "<http://example.org/a>", "resource", "text/html; charset='koi8-r'"),
        raw_record(b"plain", "http://example.org/b", "conversion", "text/plain"),
        record(b"<!DOCTYPE html><p>untyped", "http://example.org/c", http="HTTP/1.0 200\r\n"),
        record(b"<p>", "http://example.org/d", http="HTTP/1.1 200 OK\nContent-Type: text/HTML\n").replace(
            b"\n\r\n<p>\r\n", b"\n\n<p> \r\n"
        ),
    ]
    found = items(tmp_path / "a.warc.gz", b"".join(members(data)))
    assert [(item.url[-1], item.media, item.charset) for item in found if isinstance(item, Record)] == [
        ("a", "html", "koi8-r"),
        ("b", "text", None),
        ("c", "html", None),
        ("d", "html", None),
    ]


def test_body_that_decodes_beyond_the_limit_is_skipped(tmp_path: Path) -> None:
    http = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n"
    bomb = gzip.compress(b" " * (MAX_BYTES + 1), 1)
    found, sound = items(tmp_path / "a.warc.gz", b"".join(members([record(bomb, http=http), PAGES[0]])))
    assert isinstance(found, Skipped)
    assert found.drop.reason == Reason.TOO_LARGE
    assert isinstance(sound, Record)


@pytest.mark.parametrize("pack", [members, list])
def test_record_beyond_the_limit_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack) -> None:
    for module in (framing, reader):
        monkeypatch.setattr(module, "MAX_BYTES", 1000)
    data = [PAGES[0], record(b"x" * 5_000), PAGES[1]]
    before, found, after = items(tmp_path / "a.warc", b"".join(pack(data)))
    assert isinstance(found, Skipped)
    assert (found.drop.reason, found.drop.threshold) == (Reason.TOO_LARGE, 1000)
    assert urls([before, after]) == urls(items(tmp_path / "b.warc", b"".join(PAGES[:2])))


def test_members_are_decompressed_incrementally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"".join(members([b"".join(PAGES[:4]), *PAGES[4:]]))
    expected = items(tmp_path / "a.warc.gz", data)
    monkeypatch.setattr(member_reader, "BLOCK", 64)
    monkeypatch.setattr(member_reader, "_INPUT_CHUNK", 16)
    found = items(tmp_path / "a.warc.gz", data)
    assert [(item.origin.offset, item.url) for item in found] == [
        (item.origin.offset, item.url) for item in expected
    ]


def test_damaged_member_costs_only_itself(tmp_path: Path) -> None:
    packed = members(PAGES)
    for index in (0, 3, 5):
        for at in (0, 1, 12, 60, len(packed[index]) - 6, len(packed[index]) - 1):
            broken = bytearray(packed[index])
            broken[at] ^= 0xFF
            found = items(tmp_path / "a.warc.gz", b"".join([*packed[:index], broken, *packed[index + 1 :]]))
            expected = [f"http://example.org/{number}" for number in range(6) if number != index]
            assert urls(found) == expected, at
            (damaged,) = (item for item in found if isinstance(item, Damaged))
            offset = sum(map(len, packed[:index]))
            assert offset <= damaged.origin.offset <= offset + 1
            assert damaged.error


def test_wrong_length_costs_only_its_record(tmp_path: Path) -> None:
    for number in (b"1", b"2000", b"99999999999", b"none"):
        wrong = b"Content-Length: " + number + b"\r\n"
        length = PAGES[1].index(b"Content-Length")
        changed = PAGES[1][:length] + wrong + PAGES[1][PAGES[1].index(b"\r\n", length) + 2 :]
        found = items(tmp_path / "a.warc", b"".join([PAGES[0], changed, *PAGES[2:]]))
        assert urls(found) == [f"http://example.org/{number}" for number in (0, 2, 3, 4, 5)]
        assert sum(isinstance(item, Damaged) for item in found) == 1


def test_garbage_between_records_is_damage(tmp_path: Path) -> None:
    packed = members(PAGES)
    for data in (
        b"".join([*PAGES[:2], b"garbage\r\n\r\n", *PAGES[2:]]),
        b"".join([*packed[:2], b"garbage" * 30, *packed[2:]]),
        b"".join([*packed[:2], gzip.compress(b"no record"), *packed[2:]]),
        b"".join([b"garbage", *packed]),
    ):
        found = items(tmp_path / "a.warc", data)
        if not data.startswith(b"garbage"):
            assert len(urls(found)) == 6
            assert len(found) == 7


@repeated
@given(cut=st.integers(0, sum(map(len, members(PAGES)))))
def test_truncated_file_keeps_the_records_before_the_cut(tmp_path: Path, cut: int) -> None:
    packed = members(PAGES)
    ends = [sum(map(len, packed[: number + 1])) for number in range(6)]
    whole = sum(end <= cut for end in ends)
    found = items(tmp_path / "a.warc.gz", b"".join(packed)[:cut])
    if cut > 2:
        assert urls(found) == [f"http://example.org/{number}" for number in range(whole)]
        assert [isinstance(item, Damaged) for item in found[whole:]] == [True] * (cut not in ends)


@repeated
@given(cut=st.integers(1, sum(map(len, PAGES)) - 1))
def test_truncated_plain_file_keeps_the_records_before_the_cut(tmp_path: Path, cut: int) -> None:
    ends = [sum(map(len, PAGES[: number + 1])) - 4 for number in range(6)]
    whole = sum(end <= cut for end in ends)
    found = items(tmp_path / "a.warc", b"".join(PAGES)[:cut])
    assert urls(found) == [f"http://example.org/{number}" for number in range(whole)]
    assert len(found) - whole in (0, 1)


@repeated
@given(
    size=st.integers(1, 400),
    plain=st.booleans(),
    bodies=st.lists(st.binary(max_size=300).map(bytes.hex).map(str.encode), min_size=1, max_size=8),
)
def test_splits_of_any_size_read_every_record_once(
    tmp_path: Path, size: int, plain: bool, bodies: list[bytes]
) -> None:
    records = [record(body, f"http://example.org/{number}") for number, body in enumerate(bodies)]
    data = b"".join(records if plain else members(records))
    expected = items(tmp_path / "a.warc", data)
    path = tmp_path / "a.warc"
    found = [
        item
        for start in range(0, len(data), size)
        for item in read(InputSplit(str(path), "a.warc", "warc", "", start, min(size, len(data) - start)))
    ]
    assert found == expected
    assert urls(found) == [f"http://example.org/{number}" for number in range(len(bodies))]


@repeated
@given(data=st.binary(max_size=300), gz=st.booleans())
def test_arbitrary_bytes_do_not_raise(tmp_path: Path, data: bytes, gz: bool) -> None:
    for content in (b"WARC/1.0\r\n" + data, data, b"".join(PAGES[:1]) + data, data + b"".join(PAGES[:1])):
        items(tmp_path / "a.warc", gzip.compress(content) if gz else content)


def test_files_written_by_warcio_are_read(tmp_path: Path) -> None:
    # Given digests, warcio creates no temporary files, which it would leave open.
    digests = {"WARC-Block-Digest": "sha1:-", "WARC-Payload-Digest": "sha1:-"}
    for gz in (True, False):
        stream = BytesIO()
        writer = WARCWriter(stream, gzip=gz)
        for number in range(5):
            made = writer.create_warc_record(
                f"http://example.org/{number}",
                "response",
                BytesIO(b"<p>text"),
                length=7,
                http_headers=StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.0"),
                warc_headers_dict=digests,
            )
            writer.write_record(made)
        found = items(tmp_path / "a.warc.gz", stream.getvalue())
        assert urls(found) == [f"http://example.org/{number}" for number in range(5)]
        assert all(item.body == b"<p>text" for item in found if isinstance(item, Record))

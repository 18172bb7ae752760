"""HTTP responses as servers and archives really write them: codings, chunks and media types are hints."""

import bz2
import gzip
import lzma
import zlib
from pathlib import Path

import brotli
import pytest
from backports import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.ledger import Reason
from pipeline.readers.record import Damaged, Item, Record, Skipped
from pipeline.readers.warc.http import decode, join_chunks
from tests.pipeline.readers.warc.warcs import items, members, record
from tests.pipeline.readers.warc.warcs import warc as raw_record

PAGE = b"<!DOCTYPE html><title>Page</title><p>The ferry arrives twice a day in summer.</p>" * 9
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0\0\0\1\0\x08\x06\0\0\0\x5c\x72\xa8\x66" + bytes(range(256))


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def chunked(data: bytes, size: int = 100) -> bytes:
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def response(tmp_path: Path, body: bytes, *fields: str, status: str = "HTTP/1.1 200 OK") -> Item:
    http = "".join(f"{line}\r\n" for line in (status, *fields))
    (found,) = items(tmp_path / "a.warc.gz", gzip.compress(record(body, http=http)))
    return found


def body_of(item: Item) -> bytes | str:
    assert isinstance(item, Record), item
    return item.body


CODERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}


@pytest.mark.parametrize(
    ("header", "body", "expected"),
    [
        ("Content-Encoding: gzip", gzip.compress(b"<p>hello"), b"<p>hello"),
        ("Content-Encoding: x-gzip", b"<p>decoded already", b"<p>decoded already"),
        ("Content-Encoding: deflate", zlib.compress(b"<p>hello"), b"<p>hello"),
        ("Content-Encoding: deflate", raw_deflate(b"<p>hello" * 9), b"<p>hello" * 9),
        ("Content-Encoding: br", brotli.compress(b"<p>hello"), b"<p>hello"),
        ("Content-Encoding: br", b"<p>decoded already", b"<p>decoded already"),
        ("Content-Encoding: gzip, br", brotli.compress(gzip.compress(b"<p>")), b"<p>"),
        ("Content-Encoding: gzip", gzip.compress(b"<p>hello" * 9)[:-12], b"<p>"),
        ("Transfer-Encoding: chunked", b"3\r\n<p>\r\n5;x=1\r\nhello\r\n0\r\nT: 1\r\n\r\n", b"<p>hello"),
        ("Transfer-Encoding: chunked", b"3\r\n<p>\r\n5\r\nhe", b"<p>he"),
        ("Transfer-Encoding: chunked", b"<p>not chunked", b"<p>not chunked"),
        ("Transfer-Encoding: gzip, chunked", b"17\r\n" + gzip.compress(b"<p>")[:23] + b"\r\n0\r\n", b"<p>"),
    ],
)
def test_http_encodings_are_decoded(tmp_path: Path, header: str, body: bytes, expected: bytes) -> None:
    decoded = body_of(response(tmp_path, body, "Content-Type: text/html", header))
    assert isinstance(decoded, bytes)
    assert decoded.startswith(expected)


@pytest.mark.parametrize(
    "declared",
    [
        "ISO-8859-1",
        "UTF8",
        "8bit",
        "binary",
        "windows-1252",
        "text/html",
        "none",
        "lzma",
        "amz-1.0",
        ",",
        '"',
        "*",
    ],
)
@pytest.mark.parametrize("encode", [bytes, *CODERS.values(), bz2.compress, lzma.compress])
def test_unknown_coding_is_ignored_and_the_body_decides(tmp_path: Path, declared: str, encode) -> None:
    found = response(tmp_path, encode(PAGE), "Content-Type: text/html", f"Content-Encoding: {declared}")
    assert body_of(found) == PAGE


@pytest.mark.parametrize("encode", [gzip.compress, zlib.compress, brotli.compress, zstd.compress])
def test_coding_that_is_not_declared_is_undone(tmp_path: Path, encode) -> None:
    assert body_of(response(tmp_path, encode(PAGE), "Content-Type: text/html")) == PAGE
    assert body_of(response(tmp_path, encode(PAGE))) == PAGE


@pytest.mark.parametrize(
    "fields",
    [
        ("Content-Encoding: gzip", "Content-Encoding: gzip"),
        ("Content-Encoding: gzip, gzip",),
        ("Content-Encoding: gzip",),
        ("Content-Encoding: gzip", "Transfer-Encoding: gzip"),
        ("content-encoding: GZIP", "CONTENT-ENCODING:x-gzip"),
        ('Content-Encoding: "gzip"', "Content-Encoding: gzip;q=1.0"),
        ("Content-Encoding:", "Content-Encoding: gzip,", " gzip"),
        (),
    ],
)
def test_codings_of_several_headers_are_undone(tmp_path: Path, fields: tuple[str, ...]) -> None:
    for body in (gzip.compress(gzip.compress(PAGE)), gzip.compress(PAGE), PAGE):
        assert body_of(response(tmp_path, body, "Content-Type: text/html", *fields)) == PAGE


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    applied=st.lists(st.sampled_from(sorted(CODERS)), max_size=3),
    removed=st.integers(0, 3),
    separate=st.booleans(),
    in_chunks=st.booleans(),
)
def test_codings_are_undone_in_reverse_order_though_some_are_removed(
    tmp_path: Path, applied: list[str], removed: int, separate: bool, in_chunks: bool
) -> None:
    body = PAGE
    for coding in applied[: len(applied) - removed]:
        body = CODERS[coding](body)
    names = applied if separate else [", ".join(applied)]
    fields = ["Content-Type: text/html", *(f"Content-Encoding: {name}" for name in names)]
    if in_chunks:
        body, fields = chunked(body), [*fields, "Transfer-Encoding: chunked"]
    assert body_of(response(tmp_path, body, *fields)) == PAGE


def test_members_of_a_gzip_body_are_joined_and_what_follows_them_is_ignored(tmp_path: Path) -> None:
    body = gzip.compress(PAGE[:100]) + gzip.compress(PAGE[100:])
    assert body_of(response(tmp_path, body, "Content-Encoding: gzip")) == PAGE
    assert body_of(response(tmp_path, body + b"\0" * 9, "Content-Encoding: gzip")) == PAGE


@pytest.mark.parametrize("encode", [gzip.compress, zlib.compress, brotli.compress, zstd.compress])
def test_truncated_body_yields_its_beginning(tmp_path: Path, encode) -> None:
    page = b"<p>" + b" ".join(b"%d" % (number * 7919) for number in range(60_000))
    name = next(name for name, each in CODERS.items() if each is encode)
    cut = encode(page)[:100_000]
    found = body_of(response(tmp_path, cut, "Content-Type: text/html", f"Content-Encoding: {name}"))
    assert isinstance(found, bytes)
    assert len(found) > 100_000
    assert page.startswith(found)


@pytest.mark.parametrize(
    "body", [PNG, b"%PDF-1.4\n%text", gzip.compress(PNG), bytes(range(256)) * 3, b"\0" * 99]
)
@pytest.mark.parametrize("fields", [("Content-Type: text/html",), ("Content-Type: text/plain",), ()])
def test_binary_content_is_dropped_whatever_is_declared(
    tmp_path: Path, body: bytes, fields: tuple[str, ...]
) -> None:
    for coding in ((), ("Content-Encoding: gzip",), ("Content-Encoding: unknown",)):
        found = response(tmp_path, body, *fields, *coding)
        assert isinstance(found, Skipped)
        assert found.drop.reason is Reason.MEDIA_TYPE


def test_chunks_that_are_not_declared_are_joined_if_they_reach_the_end() -> None:
    assert decode(chunked(PAGE), "", "", 1 << 20) == PAGE
    assert join_chunks(chunked(PAGE)[:-30], is_declared=False) == chunked(PAGE)[:-30]
    assert join_chunks(b"add\r\ntext", is_declared=False) == b"add\r\ntext"
    assert decode(chunked(chunked(PAGE)), "chunked, chunked", "", 1 << 20) == PAGE
    assert decode(chunked(PAGE), "chunked,chunked", "", 1 << 20) == PAGE


@pytest.mark.parametrize(
    ("declared", "charset"),
    [
        ('"text/html"', None),
        ('"text/html; charset=utf-8"', "utf-8"),
        ("'text/html'; charset='koi8-r'", "koi8-r"),
        ("text/html;ISO-8859-1", None),
        ("text/html;Charset=utf-8;charset=koi8-r", "utf-8"),
        ("text/html;;charset=UTF-8", "UTF-8"),
        ("text/html ; charset = utf-8", "utf-8"),
        ("text/html, text/html; charset=UTF-8", "UTF-8"),
        ("text/html; charset=UTF-8, text/html", "UTF-8"),
        ("text/html charset=utf-8", "utf-8"),
        ("text/html,charset=utf-8", "utf-8"),
        ("text/htmlcharset=utf-8", "utf-8"),
        ("text/html:charset=utf-8", "utf-8"),
        ("text/html; charset: utf-8", "utf-8"),
        ("TEXT/HTML", None),
        ("", None),
        ("html", None),
        ("text", None),
        ("charset=utf-8", "utf-8"),
        ("; charset=utf-8", "utf-8"),
        ("unknown/unknown", None),
        ("application/unknown", None),
        ("*/*", None),
        ("text/*", None),
        ("none", None),
        ("null", None),
        ("Content-Type: text/html", None),
        ("text\\html", None),
        ("(null)", None),
        ("image/png, text/html", None),
        ("text/htm", None),
        ("text/x-html", None),
        ("application/xhtml", None),
        ("application/xhtml+xml; profile=x/y", None),
        ("application/vnd.wap.xhtml+xml", None),
        ("application/octet-stream", None),
        ("binary/octet-stream", None),
        ("application/xml", None),
        ("plain/html", None),
        ("\u00fft\u00e9xt/html", None),
    ],
)
def test_declared_media_type_is_parsed_leniently(tmp_path: Path, declared: str, charset: str | None) -> None:
    block = b"HTTP/1.1 200 OK\r\nContent-Type: " + declared.encode("latin-1") + b"\r\n\r\n" + PAGE
    data = raw_record(block, "http://example.org/", "response", "application/http")
    (found,) = items(tmp_path / "a.warc", data)
    assert isinstance(found, Record), found
    assert (found.media, found.charset, found.body) == ("html", charset, PAGE)


@pytest.mark.parametrize(
    "declared",
    [
        "image/png",
        "application/json",
        "application/pdf",
        "text/css",
        "text/javascript; charset=utf-8",
        'multipart/related; type="text/html"; boundary=x',
        "text/html, image/png",
        "application/rss+xml",
        "video/mp4",
        "font/woff2",
    ],
)
def test_other_media_types_are_believed(tmp_path: Path, declared: str) -> None:
    found = response(tmp_path, PAGE, f"Content-Type: {declared}")
    assert isinstance(found, Skipped)
    assert found.drop.reason is Reason.MEDIA_TYPE


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b"<p>page", "html"),
        (b"\xef\xbb\xbf \n<HTML lang=da>", "html"),
        (b"<!-- saved -->\n<table><tr>", "html"),
        (b"<!-- not closed", "html"),
        (b"<?xml version='1.0'?>\n<!DOCTYPE html PUBLIC 'x'><html xmlns='y'>", "html"),
        ("<html><p>bred".encode("utf-16"), "html"),
        ("<html><p>bred".encode("utf-16-le"), "html"),
        (b"Once upon a time", "text"),
        ("Ærø ligger".encode("latin-1"), "text"),
        (b"<nick> hello", "text"),
        (b"<?xml version='1.0'?><rss>", None),
        (b"<rss version='2.0'>", None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", None),
        (PNG, None),
    ],
)
def test_content_decides_where_no_type_is_declared(tmp_path: Path, body: bytes, media: str | None) -> None:
    for fields in ((), ("Content-Type: unknown/unknown",), ("Content-Type:", "Content-Type: */*")):
        found = response(tmp_path, body, *fields)
        assert getattr(found, "media", None) == media


@pytest.mark.parametrize(
    ("block", "body"),
    [
        (b"HTTP/1.1 200 OK\nContent-Type: text/html\n\n<p>x", b"<p>x"),
        (b"HTTP/2 200\r\ncontent-type: text/html\r\n\r\n<p>x", b"<p>x"),
        (b"http/1.0 200 ok\r\n\r\n<p>x", b"<p>x"),
        (b"HTTP 200\r\n\r\n<p>x", b"<p>x"),
        (b"ICY 200 OK\r\n\r\n<p>x", b"<p>x"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n<p>no empty line", b"<p>no empty line"),
        (b"HTTP/1.1 200 OK\r\nX: 1\r\n folded\r\nContent-Type:\r\n text/html\r\n\r\n<p>x", b"<p>x"),
        (b"HTTP/1.1 200 OK\r\nno field\r\n: empty\r\n\xff\xfe: x\r\n\r\n<p>x", b"<p>x"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>x", b"<p>x"),
        (b"HTTP/1.0 200 Connection established\r\n\r\nHTTP/1.1 200 OK\r\n\r\n<p>x", b"<p>x"),
        (b"<html><p>no header", b"<html><p>no header"),
    ],
)
def test_malformed_http_headers_are_read(tmp_path: Path, block: bytes, body: bytes) -> None:
    data = raw_record(block, "http://example.org/", "response", "application/http; msgtype=response")
    (found,) = items(tmp_path / "a.warc", data)
    assert isinstance(found, Record), found
    assert (found.body, found.media) == (body, "html")


def test_response_without_header_that_is_not_html_is_damage(tmp_path: Path) -> None:
    for block in (b"garbage", b"", b"HTTPX/1.1 200 OK\r\n\r\n<p>x", b"HTTP/1.1 OK\r\n\r\n<p>"):
        data = raw_record(block, "http://example.org/", "response", "application/http")
        (found,) = items(tmp_path / "a.warc", data)
        assert isinstance(found, Damaged)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=st.binary(max_size=120),
    body=st.binary(max_size=200) | st.sampled_from([gzip.compress(PAGE), brotli.compress(PAGE), PAGE]),
    coding=st.sampled_from(["gzip", "br", "deflate", "zstd", "chunked", "", "?"]),
)
def test_any_header_and_body_yields_one_item(tmp_path: Path, header: bytes, body: bytes, coding: str) -> None:
    block = b"HTTP/1.1 200 OK\r\n%s\r\nContent-Encoding: %s\r\n\r\n%s" % (header, coding.encode(), body)
    data = members([raw_record(block, "http://example.org/", "response", "application/http")])
    assert len(items(tmp_path / "a.warc.gz", b"".join(data))) == 1

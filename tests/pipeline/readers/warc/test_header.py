import re

import pytest

from pipeline.readers.warc.header import field_values, fields_pattern

HEAD = re.compile(rb"(HTTP/\S+)[^\n]*\n" + fields_pattern(2, b"content-type", b"date") + rb"(?:\r?\n)?")


@pytest.mark.parametrize(
    ("head", "content_type", "date"),
    [
        (b"Content-Type: text/html\r\nDate: today\r\n\r\n", b"text/html", b"today"),
        (b"Date: today\nCONTENT-TYPE \t:text/html\n\nDate: of the body\n", b"text/html", b"today"),
        (b"content-type: a\r\nContent-Type: b\r\nDate:\r\n\r\n", b"a", b""),
        (b"Content-Type: text/html;\r\n\tcharset=x\r\nX-Date: no\r\n\r\n", b"text/html; charset=x", b""),
        (b"X: 1\r\n Content-Type: folded\r\nno field\r\nDate:\n today\r\n\r\n", b"", b"today"),
        (b"X: 1\r\n  \r\nDate: a:b\r\nContent-Type: cut", b"", b"a:b"),
        (b"", b"", b""),
    ],
)
def test_first_field_of_each_name_counts(head: bytes, content_type: bytes, date: bytes) -> None:
    match = HEAD.match(b"HTTP/1.1 200 OK\r\n" + head)
    assert match
    assert [value.strip() for value in field_values(match)[:3]] == [b"HTTP/1.1", content_type, date]

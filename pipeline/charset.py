"""Bytes to text, by what transport and page declare and what the bytes themselves say."""

import codecs
import re
from collections.abc import Mapping
from types import MappingProxyType

import chardet
from chardet.enums import EncodingEra
from resiliparse.parse.encoding import map_encoding_to_html5

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_META = re.compile(rb"""(?i)<(?:meta|\?xml)\b[^>]{0,400}?\b(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]+)""")
_META_BYTES = 4096
"""Where a page's own declaration is looked for; the HTML standard asks for its first 1,024 bytes."""
_SUPERSETS: Mapping[str, str] = MappingProxyType(
    {
        "gbk": "gb18030",
        "gb2312": "gb18030",
        "shift_jis": "cp932",
        "euc_kr": "cp949",
        "big5": "big5hkscs",
        "iso8859-1": "cp1252",
        "iso8859-11": "cp874",
        "tis-620": "cp874",
        "shift_jis_2004": "cp932",
    }
)
"""What pages in these encodings are really written in."""
_BEYOND_BROWSERS: Mapping[str, str] = MappingProxyType(
    {"hz-gb-2312": "hz", "johab": "johab", "utf-32": "utf-32", "x-mac-cyrillic": "mac_cyrillic"}
)
"""Labels that browsers gave up but archives still hold."""
_TOLERATED = 0.01
"""Share of undecodable characters up to which a declaration is believed: pages are cut and spliced."""
_ERAS = EncodingEra.ALL & ~EncodingEra.MAINFRAME
"""What detection considers: everything but EBCDIC, in which there are no pages."""
_ESCAPES = (b"\x1b$", b"\x1b(", b"~{")
"""How ISO-2022 and HZ switch sets within ASCII bytes."""


def decode(body: bytes, declared: str | None = None) -> str:
    """A page's text; ``declared`` is what the transport said. Never fails: the last resort replaces bytes.

    In this order: byte order mark; UTF-8 where the bytes are valid as such, unless transport and page agree
    on something else; the transport's declaration; the page's own (``<meta>``, ``<?xml``); UTF-8 again, for
    bytes that are damaged in places only; detection by chardet. A declaration that the bytes contradict is
    passed over. There is no lone surrogate in the text, and a NUL only if there is one in the bytes.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    if wide := _without_mark(body):
        return body.decode(wide, "replace")
    candidates = _declarations(body, declared)
    if (text := _utf8(body)) is None:
        candidates.append("utf-8")
    elif not _hides_another(body, candidates):
        return text
    for encoding in candidates:
        if (text := _attempt(body, encoding)) is not None:
            return text
    # UTF-7, which only detection finds, is alone in spelling out lone surrogates, and NULs as letters.
    text = body.decode(_detect(body), "replace").encode("utf-8", "ignore").decode()
    return text if b"\0" in body else text.replace("\0", "")


def canonical(label: str) -> str | None:
    """The Python codec for an encoding's label as browsers understand it; None if it is unknown."""
    label = label.strip().lower()
    if label in _BEYOND_BROWSERS:
        return _BEYOND_BROWSERS[label]
    encoding: str | None = map_encoding_to_html5(label, fallback_utf8=False)
    return _SUPERSETS.get(encoding, encoding) if encoding else None


def _detect(body: bytes) -> str:
    """The Python codec that chardet finds the likeliest."""
    found = chardet.detect(body, encoding_era=_ERAS, max_bytes=max(1, len(body)), compat_names=False)
    return _SUPERSETS.get(found["encoding"] or "", found["encoding"]) or "utf-8"


def _declarations(body: bytes, declared: str | None) -> list[str]:
    """The known encodings that transport and page declare, in that order."""
    transport = canonical(declared) if declared else None
    meta = _META.search(body, 0, _META_BYTES)
    page = canonical(meta.group(1).decode("ascii", "replace")) if meta else None
    if page and page.startswith(("utf-16", "utf-32")):
        page = "utf-8"  # It could not have been read as ASCII.
    return [encoding for encoding in (transport, page) if encoding]


def _hides_another(body: bytes, candidates: list[str]) -> bool:
    """Whether bytes that are valid UTF-8 are nevertheless in another encoding."""
    if body.isascii():
        return any(escape in body for escape in _ESCAPES)
    return len(candidates) == 2 and candidates[0] == candidates[1] != "utf-8"


def _utf8(body: bytes) -> str | None:
    """The text if the bytes are valid UTF-8, but for a last character that is cut in two."""
    try:
        return codecs.utf_8_decode(body, "strict", False)[0]
    except UnicodeDecodeError:
        return None


def _attempt(body: bytes, encoding: str) -> str | None:
    """The decoded text; None if too much of it cannot be decoded, or most of what is not ASCII."""
    try:
        return body.decode(encoding)
    except UnicodeDecodeError:
        text = body.decode(encoding, "replace")
    damaged = text.count("\ufffd")
    foreign = len(text) - len(text.encode("ascii", "ignore"))
    return text if damaged <= min(_TOLERATED * len(text), foreign / 2) else None


def _without_mark(body: bytes) -> str | None:
    """UTF-16 or UTF-32 of mostly ASCII text without a byte order mark, by where its zero bytes are."""
    sample = body[:256]
    if sample.count(0) * 3 < len(sample):
        return None
    zeros = [sample[place::4].count(0) * 4 > 3 * len(sample) // 4 for place in range(4)]
    for places, encoding in (
        ([False, True, True, True], "utf-32-le"),
        ([True, True, True, False], "utf-32-be"),
        ([False, True, False, True], "utf-16-le"),
        ([True, False, True, False], "utf-16-be"),
    ):
        if zeros == places:
            return encoding
    return None

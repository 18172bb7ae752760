"""Decode the bytes of a page, by the encodings that transport and page declare and by detection."""

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
"""Bytes searched for a page's own declaration. The HTML standard requires it in the first 1,024."""
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
"""Supersets in which pages with these labels are really encoded."""
_LEGACY_LABELS: Mapping[str, str] = MappingProxyType(
    {"hz-gb-2312": "hz", "johab": "johab", "utf-32": "utf-32", "x-mac-cyrillic": "mac_cyrillic"}
)
"""Labels that browsers no longer support, but that occur in archives."""
_MAX_ERRORS = 0.01
"""Share of undecodable characters up to which a declaration is accepted: pages are truncated and spliced."""
_ERAS = EncodingEra.ALL & ~EncodingEra.MAINFRAME
"""Encodings considered in detection: all but EBCDIC, which pages do not use."""
_SAMPLE_BYTES = 1024
_MARKS = tuple(mark for mark, _ in _BYTE_ORDER_MARKS)
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\f\r\x1b"))
"""Control characters that text in any encoding lacks."""
_ESCAPES = (b"\x1b$", b"\x1b(", b"~{")
"""Escape sequences that switch character sets in ISO-2022 and HZ."""


def decode(body: bytes, declared: str | None = None) -> str:
    """Decode a page; ``declared`` is the encoding that the transport declares. Never fails.

    Candidates, in this order: byte order mark; UTF-8 if the bytes are valid UTF-8, unless transport and page
    agree on another encoding; the transport's declaration; the page's own (``<meta>``, ``<?xml``); UTF-8 with
    few errors; detection by chardet, with replacement characters. Declarations that the bytes contradict are
    ignored. The text has no lone surrogates, and NULs only if the bytes have.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    if wide := _wide_encoding(body):
        return body.decode(wide, "replace")
    candidates = _declarations(body, declared)
    if (text := _utf8(body)) is None:
        candidates.append("utf-8")
    elif not _is_other_encoding(body, candidates):
        return text
    for encoding in candidates:
        if (text := _decode_tolerantly(body, encoding)) is not None:
            return text
    # Only UTF-7, which only detection finds, can encode lone surrogates, and NULs as letters.
    text = body.decode(_detect(body), "replace").encode("utf-8", "ignore").decode()
    return text if b"\0" in body else text.replace("\0", "")


def is_binary(body: bytes) -> bool:
    """True if content is not text, by its first bytes: more than 2% of them are control characters.

    UTF-16 and UTF-32 are text if they have a byte order mark or are mostly ASCII.
    """
    sample = body[:_SAMPLE_BYTES]
    printable = len(sample.translate(None, _CONTROLS))
    if printable == len(sample) or sample.startswith(_MARKS):
        return False
    # NULs are not counted: they are the padding of truncated pages, and half of ASCII in UTF-16.
    length = len(sample) - sample.count(0)
    return (length - printable) * 50 > length or not length


def canonical(label: str) -> str | None:
    """Return the Python codec for an encoding label, as browsers interpret it; None if it is unknown."""
    label = label.strip().lower()
    if label in _LEGACY_LABELS:
        return _LEGACY_LABELS[label]
    encoding: str | None = map_encoding_to_html5(label, fallback_utf8=False)
    return _SUPERSETS.get(encoding, encoding) if encoding else None


def _detect(body: bytes) -> str:
    """Return the Python codec that chardet considers most likely."""
    found = chardet.detect(body, encoding_era=_ERAS, max_bytes=max(1, len(body)), compat_names=False)
    return _SUPERSETS.get(found["encoding"] or "", found["encoding"]) or "utf-8"


def _declarations(body: bytes, declared: str | None) -> list[str]:
    """Return the known encodings that transport and page declare, in that order."""
    transport = canonical(declared) if declared else None
    meta = _META.search(body, 0, _META_BYTES)
    page = canonical(meta.group(1).decode("ascii", "replace")) if meta else None
    if page and page.startswith(("utf-16", "utf-32")):
        page = "utf-8"  # otherwise the declaration could not be read as ASCII
    return [encoding for encoding in (transport, page) if encoding]


def _is_other_encoding(body: bytes, candidates: list[str]) -> bool:
    """True if bytes that are valid UTF-8 are nevertheless in another encoding."""
    if body.isascii():
        return any(escape in body for escape in _ESCAPES)
    return len(candidates) == 2 and candidates[0] == candidates[1] != "utf-8"


def _utf8(body: bytes) -> str | None:
    """Return the text if the bytes are valid UTF-8, except for a truncated last character; else None."""
    try:
        return codecs.utf_8_decode(body, "strict", False)[0]
    except UnicodeDecodeError:
        return None


def _decode_tolerantly(body: bytes, encoding: str) -> str | None:
    """Return the decoded text; None if too much of it, or most of its non-ASCII part, is undecodable."""
    try:
        return body.decode(encoding)
    except UnicodeDecodeError:
        text = body.decode(encoding, "replace")
    errors = text.count("\ufffd")
    non_ascii = len(text) - len(text.encode("ascii", "ignore"))
    return text if errors <= min(_MAX_ERRORS * len(text), non_ascii / 2) else None


def _wide_encoding(body: bytes) -> str | None:
    """Detect UTF-16 or UTF-32 of mostly ASCII text without a byte order mark, by its zero bytes."""
    sample = body[:256]
    if sample.count(0) * 3 < len(sample):
        return None
    zeros = [sample[offset::4].count(0) * 4 > 3 * len(sample) // 4 for offset in range(4)]
    for pattern, encoding in (
        ([False, True, True, True], "utf-32-le"),
        ([True, True, True, False], "utf-32-be"),
        ([False, True, False, True], "utf-16-le"),
        ([True, False, True, False], "utf-16-be"),
    ):
        if zeros == pattern:
            return encoding
    return None

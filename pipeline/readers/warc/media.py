"""Media types: what headers declare, parsed leniently, and what the content shows where they declare nothing.

Follows the WHATWG standards Fetch (of several declarations the last counts) and MIME Sniffing.
"""

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from pipeline.charset import is_binary

Media = Literal["html", "text"]

SAMPLE_BYTES = 1 << 12
"""First bytes of a body that show its media type."""

_TYPE = re.compile(
    r"""[\s"']*((?:application|audio|example|font|haptics|image|message|model|multipart|text|video|binary)"""
    r"""/(?:(?!charset)[\w!#$&^.+-])+)""",
    re.IGNORECASE,
)
"""A type that is registered, or nearly. Other declarations, such as ``unknown/unknown``, declare nothing."""
_CHARSET = re.compile(r"""(?i)charset\s*[=:]\s*["']?([^\s"';,]+)""")
_MAX_CACHED = 200
"""Characters of the longest declaration that is cached once parsed. Most pages declare one of a few types."""
_UNKNOWN = frozenset({"application/unknown", "application/x-unknown"})
_ANY_BYTES = re.compile(r"(?:application|binary)/octet-stream|(?:text|application)/xml")
"""Types of which only what is evidently HTML is a page."""
_HTML = re.compile(r"(?:text|application)/(?:x-|vnd\.wap\.)?x?html?5?(?:\+xml)?")
_TEXT = re.compile(r"(?:text|application)/(?:plain|text|txt)")

_TAGS = (
    b"a|abbr|address|article|aside|b|base|big|blockquote|body|br|button|center|code|dd|details|dialog|dir|div|dl"
    b"|dt|em|fieldset|figure|font|footer|form|frameset|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|label"
    b"|li|link|main|map|menu|meta|nav|noscript|object|ol|p|picture|pre|q|s|samp|script|section|select|small"
    b"|span|strike|strong|style|sub|sup|table|tbody|td|template|textarea|th|thead|title|tr|tt|u|ul|var|video"
)
_MISC = rb"\s*+(?:<!--.*?-->\s*+)*+"
"""Whitespace and comments."""
_HTML_START = re.compile(
    rb"(?is)%s(?:<(?:%s)[\s/>]|<!doctype\s+html\b|<!--)" % (_MISC, _TAGS)
    + rb"|%s<\?xml[^>]*>%s(?:<!doctype\s+html\b|<html[\s>])" % (_MISC, _MISC)
)
_XHTML_START = re.compile(rb"(?is)%s(?:<\?xml[^>]*>)?%s(?:<!doctype\s+html\b|<html[\s>])" % (_MISC, _MISC))
_XML_START = re.compile(rb"(?is)%s(?:<\?xml\b|<rss\b|<[\w:]+[^>]*?\bxmlns\b)" % _MISC)
_DOCUMENT_STARTS = (b"%PDF-", b"%!PS", b"{\\rtf")
"""Documents that begin with text."""
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


class ContentType(NamedTuple):
    """A declared type. Empty if nothing, or nothing plausible, is declared."""

    kind: Literal["html", "text", "bytes", "other", ""] = ""
    """``bytes``: a page only if the content is evidently HTML; ``other``: never a page."""
    charset: str | None = None


def parse_content_type(value: str) -> ContentType:
    """Parse a Content-Type, or several that are joined by commas."""
    return _parse(value) if len(value) > _MAX_CACHED else _parse_cached(value)


def _parse(value: str) -> ContentType:
    found = ContentType()
    for part in value.split(","):
        declared = _TYPE.match(part)
        if declared and (name := declared[1].lower()) not in _UNKNOWN:
            charset = _CHARSET.search(part)
            found = ContentType(_kind(name), charset[1] if charset else None)
    if found.charset is None and (charset := _CHARSET.search(value)):
        return found._replace(charset=charset[1])
    return found


_parse_cached = lru_cache(maxsize=256)(_parse)


def _kind(media_type: str) -> Literal["html", "text", "bytes", "other"]:
    if _HTML.fullmatch(media_type):
        return "html"
    if _TEXT.fullmatch(media_type):
        return "text"
    return "bytes" if _ANY_BYTES.fullmatch(media_type) else "other"


def detect_media(declared: ContentType, body: bytes) -> Media | None:
    """Return the medium of a decoded body: the declared one, or by content if none is. None if not a page."""
    sample = body[:SAMPLE_BYTES]
    if sample.startswith(_DOCUMENT_STARTS) or (is_binary(sample) and not _is_wide(declared.charset)):
        return None
    if declared.kind == "html" or declared.kind == "text":
        return declared.kind
    start = sample.replace(b"\0", b"")  # of UTF-16
    for mark in _BYTE_ORDER_MARKS:
        start = start.removeprefix(mark)
    if (_XHTML_START if declared.kind else _HTML_START).match(start):
        return "html"
    return None if declared.kind or _XML_START.match(start) else "text"


def _is_wide(charset: str | None) -> bool:
    return (charset or "").lower().startswith(("utf-16", "utf16", "utf-32", "utf32", "ucs"))

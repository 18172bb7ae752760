"""Decoding of HTTP bodies (chunked transfer and content encodings), as lenient as browsers are."""

from collections.abc import Iterator
from functools import partial
from io import BytesIO

from fastwarc.stream_io import BrotliReader, ZstdReader

from pipeline.readers.compressed import BLOCK, DECOMPRESSION_ERRORS, GZIP, Inflater

_IDENTITY = frozenset({"", "identity", "none", "utf-8", "chunked"})


class BodyError(Exception):
    """A body that cannot be decoded."""


class TooLargeError(Exception):
    """A body that decodes to more bytes than allowed."""


def decode(body: bytes, transfer: str, content: str, limit: int) -> bytes:
    """Decode a body by its ``Transfer-Encoding`` and ``Content-Encoding`` (header values, may be empty).

    Archives often keep the header of an encoding that they have removed, so a body that is not in the
    declared encoding is returned unchanged. A truncated body yields its readable part. Raises
    :class:`BodyError` for an unknown or damaged encoding and :class:`TooLargeError` for more than ``limit``
    bytes.
    """
    if not transfer and not content:
        return body
    if "chunked" in transfer.lower():
        body = join_chunks(body)
    for encoding in reversed([part.strip().lower() for part in f"{content},{transfer}".split(",")]):
        if encoding not in _IDENTITY:
            body = _decode(body, encoding, limit)
    return body


def join_chunks(body: bytes) -> bytes:
    """Return the data of a chunked body, without sizes, extensions and trailers; other bodies unchanged."""
    chunks: list[bytes] = []
    at = 0
    while at < len(body):
        line_end = body.find(b"\n", at, at + 1024)
        try:
            size = int(body[at:line_end].partition(b";")[0], 16) if line_end > 0 else -1
        except ValueError:
            size = -1
        if size < 0:
            # Without a chunk size here, the body, or the rest of it, is not chunked.
            return body if not chunks else b"".join([*chunks, body[at:]])
        if size == 0:
            break
        chunks.append(body[line_end + 1 : line_end + 1 + size])
        at = line_end + 1 + size
        at += 2 if body[at : at + 2] == b"\r\n" else 1 if body[at : at + 1] == b"\n" else 0
    return b"".join(chunks)


def _decode(body: bytes, encoding: str, limit: int) -> bytes:
    """Decode one content encoding."""
    match encoding.removeprefix("x-"):
        case "gzip":
            return _join(_inflate(body, 31), body, limit) if body.startswith(GZIP) else body
        case "deflate":
            # The standard specifies the zlib format; some servers send a raw deflate stream.
            is_zlib = len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
            return _join(_inflate(body, 15 if is_zlib else -15), body, limit)
        case "br":
            return _join(iter(partial(BrotliReader(BytesIO(body)).read, BLOCK), b""), body, limit)
        case "zstd":
            return _join(iter(partial(ZstdReader(BytesIO(body)).read, BLOCK), b""), body, limit)
        case _:
            raise BodyError(f"unknown content coding {encoding!r}")


def _join(blocks: Iterator[bytes], body: bytes, limit: int) -> bytes:
    """Join the decoded ``blocks`` of a body. Return the body itself if it turns out not to be encoded."""
    decoded: list[bytes] = []
    size = 0
    try:
        for block in blocks:
            decoded.append(block)
            size += len(block)
            if size > limit:
                raise TooLargeError
    except DECOMPRESSION_ERRORS as error:
        if not decoded and _is_text(body):
            return body
        raise BodyError(f"damaged content coding: {error}") from None
    return b"".join(decoded)


def _inflate(body: bytes, wbits: int) -> Iterator[bytes]:
    """Yield the content of a gzip, zlib or raw deflate stream, up to its end or that of the body."""
    inflater, data = Inflater(wbits), body
    while not inflater.eof:
        block = inflater.decompress(data, BLOCK)
        data = b""
        if not block and inflater.needs_input:
            return
        yield block


def _is_text(body: bytes) -> bool:
    """True if the body looks like text, so that its encoding was probably removed already."""
    return body[:1024].isascii() or (b"\0" not in body[:1024] and body.lstrip()[:1] == b"<")

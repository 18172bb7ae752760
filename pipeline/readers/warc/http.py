"""Decoding of HTTP bodies (chunked transfer and content codings), as lenient as browsers are.

Declared codings are hints. Archives often keep the header of a coding that they have removed, and servers
declare character sets, media types or nothing instead of a coding. So a coding is undone if the body is in
it, declared or not.
"""

import re
from collections.abc import Iterator
from io import BytesIO

from pipeline.charset import is_binary
from pipeline.readers.compressed import (
    BLOCK,
    DECOMPRESSION_ERRORS,
    BrokenStreamError,
    Inflater,
    TruncatedStreamError,
    blocks,
    brotli_blocks,
    is_compressed,
)

_SAMPLE_BYTES = 1 << 12
"""First bytes of a body that show whether it is text."""
_MAX_LAYERS = 4
"""Codings of one body that are undone."""
_MAX_UNDECLARED = 2
"""Those of them that no header declares."""
_DECODING_ERRORS: tuple[type[Exception], ...] = (BrokenStreamError, *DECOMPRESSION_ERRORS)
_CODING = re.compile(r"[a-z0-9-]+")
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
"""Line before a chunk, with extensions."""


class BodyError(Exception):
    """A body that cannot be decoded."""


class TooLargeError(Exception):
    """A body that decodes to more bytes than allowed."""


def decode(body: bytes, transfer: str, content: str, limit: int) -> bytes:
    """Decode a body by its ``Transfer-Encoding`` and ``Content-Encoding`` (header values, may be empty).

    Values of repeated headers are joined by commas. A body that is not in a declared coding is returned
    unchanged, and binary content in a coding that is not declared is decoded. A truncated body yields its
    readable part. Raises :class:`BodyError` for a damaged body and :class:`TooLargeError` for more than
    ``limit`` bytes.
    """
    declared = _CODING.findall(f"{content},{transfer}".lower()) if content or transfer else []
    for _ in range(min(max(1, declared.count("chunked")), _MAX_LAYERS)):
        body = join_chunks(body, is_declared="chunked" in declared)
    problem: BodyError | None = None
    for coding in [*reversed(declared[-_MAX_LAYERS:]), *[""] * _MAX_UNDECLARED]:
        coded = body
        try:
            body = _undo(coding, coded, limit)
        except BodyError as error:
            if is_compressed(body):
                raise
            problem = error  # The body may be in another coding.
        if not coding and body is coded:
            break
    if problem and not _is_text(body[:_SAMPLE_BYTES]):
        raise problem
    return body


def join_chunks(body: bytes, *, is_declared: bool = True) -> bytes:
    """Return the data of a chunked body, without sizes, extensions and trailers; other bodies unchanged.

    A body that is not declared to be chunked must be so to its end.
    """
    chunks: list[bytes] = []
    at = 0
    while line := _CHUNK_SIZE.match(body, at):
        at, size = line.end(), int(line[1], 16)
        if size == 0:
            return b"".join(chunks) if chunks or is_declared else body
        chunks.append(body[at : at + size])
        at += size
        at += 2 if body[at : at + 2] == b"\r\n" else 1 if body[at : at + 1] == b"\n" else 0
    # Without a chunk size here, the body, or the rest of it, is not chunked.
    return b"".join([*chunks, body[at:]]) if is_declared else body


def _undo(coding: str, body: bytes, limit: int) -> bytes:
    """Undo one coding: the one that the body is in or, if it has no magic number, the declared one."""
    if is_compressed(body):
        return _join(blocks(BytesIO(body)), limit)
    if coding == "br":
        return _join(brotli_blocks(iter([body])), limit)
    if coding == "deflate" or (_is_zlib(body) and is_binary(body)):
        return _join(_inflate(body), limit)
    return body


def _join(decoded: Iterator[bytes], limit: int) -> bytes:
    """Join the decoded blocks of a body, up to where it is cut off. Raises :class:`BodyError` for damage."""
    joined: list[bytes] = []
    size = 0
    try:
        for block in decoded:
            joined.append(block)
            size += len(block)
            if size > limit:
                raise TooLargeError
    except _DECODING_ERRORS as error:
        if not joined or not isinstance(error, TruncatedStreamError):
            raise BodyError(f"damaged content coding: {error}") from None
    return b"".join(joined)


def _inflate(body: bytes) -> Iterator[bytes]:
    """Yield the content of a deflate stream, up to its end or that of the body.

    The standard specifies the zlib format; some servers send a raw stream.
    """
    inflater, data = Inflater(15 if _is_zlib(body) else -15), body
    while not inflater.eof:
        block = inflater.decompress(data, BLOCK)
        data = b""
        if not block and inflater.needs_input:
            return
        yield block


def _is_zlib(body: bytes) -> bool:
    return len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0


def _is_text(sample: bytes) -> bool:
    """True if a body looks like text, so that its coding was probably removed already."""
    return b"\0" not in sample and not is_binary(sample)

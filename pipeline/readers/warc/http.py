"""HTTP bodies as they were meant: chunks joined, content codings undone, as forgiving as browsers are."""

from io import BytesIO

from fastwarc.stream_io import BrotliReader, ZstdReader

from pipeline.readers.compressed import BLOCK, DAMAGE, Inflater

_PLAIN = frozenset({"", "identity", "none", "utf-8", "chunked"})


class BodyError(Exception):
    """A body that cannot be decoded."""


class TooLargeError(Exception):
    """A body that decodes to more bytes than allowed."""


def decode(body: bytes, transfer: str, content: str, limit: int) -> bytes:
    """Undo a body's ``Transfer-Encoding`` and ``Content-Encoding`` (header values, may be empty).

    Archives often keep a header whose coding they have undone: a body that is not in the coding that is
    declared stays as it is. A body that breaks off yields what came before. Raises :class:`BodyError` for an
    unknown or damaged coding and :class:`TooLargeError` beyond ``limit`` bytes.
    """
    if not transfer and not content:
        return body
    if "chunked" in transfer.lower():
        body = join_chunks(body)
    for coding in reversed([part.strip().lower() for part in f"{content},{transfer}".split(",")]):
        if coding not in _PLAIN:
            body = _undo(body, coding, limit)
    return body


def join_chunks(body: bytes) -> bytes:
    """The data of a chunked body, without sizes, extensions and trailers; a body without chunks as it is."""
    pieces: list[bytes] = []
    at = 0
    while at < len(body):
        line_end = body.find(b"\n", at, at + 1024)
        try:
            size = int(body[at:line_end].partition(b";")[0], 16) if line_end > 0 else -1
        except ValueError:
            size = -1
        if size < 0:
            # No size here: the body never was in chunks, or its rest is not.
            return body if not pieces else b"".join([*pieces, body[at:]])
        if size == 0:
            break
        pieces.append(body[line_end + 1 : line_end + 1 + size])
        at = line_end + 1 + size
        at += 2 if body[at : at + 2] == b"\r\n" else 1 if body[at : at + 1] == b"\n" else 0
    return b"".join(pieces)


def _undo(body: bytes, coding: str, limit: int) -> bytes:
    """Undo one content coding."""
    match coding.removeprefix("x-"):
        case "gzip":
            return _inflate(body, 31, limit) if body.startswith(b"\x1f\x8b") else body
        case "deflate":
            # The standard means zlib's format; some servers send the bare stream.
            is_zlib = len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
            return _inflate(body, 15 if is_zlib else -15, limit)
        case "br":
            return _read(BrotliReader(BytesIO(body)), body, limit)
        case "zstd":
            return _read(ZstdReader(BytesIO(body)), body, limit)
        case _:
            raise BodyError(f"unknown content coding {coding!r}")


def _inflate(body: bytes, wbits: int, limit: int) -> bytes:
    inflater, data = Inflater(wbits), body
    pieces: list[bytes] = []
    size = 0
    while not inflater.eof:
        try:
            piece = inflater.decompress(data, BLOCK)
        except DAMAGE as error:
            if not pieces and _is_text(body):
                return body
            raise BodyError(f"damaged content coding: {error}") from None
        data = b""
        if not piece and inflater.needs_input:
            break
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise TooLargeError
    return b"".join(pieces)


def _read(reader: BrotliReader | ZstdReader, body: bytes, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := reader.read(BLOCK):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise TooLargeError
    except OSError as error:
        if not pieces and _is_text(body):
            return body
        raise BodyError(f"damaged content coding: {error}") from None
    return b"".join(pieces)


def _is_text(body: bytes) -> bool:
    """Whether the body looks as if its coding had been undone already."""
    return body[:1024].isascii() or (b"\0" not in body[:1024] and body.lstrip()[:1] == b"<")

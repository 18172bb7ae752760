"""JSON objects in an array, or one after the other, wherever their lines break."""

import re
from collections.abc import Iterator

from pipeline.ledger import Drop, Reason
from pipeline.readers.lookahead import UNBOUNDED, LookaheadStream
from pipeline.readers.record import MAX_BYTES, Damaged, Origin, Skipped

_VALUE = re.compile(rb"[^\s,\[\]\xef\xbb\xbf]")
"""First byte of a value: none between values, and none of a byte order mark."""
_OBJECT = re.compile(rb"\{")
_LINE_WITH_OBJECT = re.compile(rb"\n[ \t]*\{")
_BRACE_OR_STRING = re.compile(rb'["{}]')
_IN_STRING = re.compile(rb'["\\\n]')


def objects(lookahead: LookaheadStream, stop: int = UNBOUNDED) -> Iterator[bytes | Skipped | Damaged]:
    """Yield the bytes of each object that begins before ``stop``; the stream is then past that object.

    Where an object is not closed within its line or the file, or is longer than ``MAX_BYTES``, reading
    continues at the next line that begins with one.
    """
    while _seek(lookahead, _VALUE) and lookahead.position < stop:
        start = lookahead.position
        if lookahead.peek(1) != b"{":
            _seek(lookahead, _OBJECT)
            yield Damaged(Origin(start, lookahead.position - start), "not a JSON object")
            continue
        size, is_whole = _measure(lookahead)
        if is_whole:
            content = lookahead.peek(size)
            lookahead.skip(size)
            yield content
            continue
        lookahead.skip(size)
        _seek(lookahead, _LINE_WITH_OBJECT)
        origin = Origin(start, lookahead.position - start)
        if size < MAX_BYTES:
            yield Damaged(origin, "not JSON: a string or an object is not closed")
        else:
            yield Skipped(origin, "", Drop(Reason.TOO_LARGE, origin.length, MAX_BYTES))


def _seek(lookahead: LookaheadStream, pattern: re.Pattern[bytes]) -> bool:
    """Advance to the next match, or to the end of the stream and return False."""
    while (found := lookahead.search(pattern, 0, MAX_BYTES)) is None and lookahead.peek(1):
        lookahead.skip(MAX_BYTES)
    lookahead.skip(found or 0)
    return found is not None


def _measure(lookahead: LookaheadStream) -> tuple[int, bool]:
    """Return the length of the object at the current position, or of what was read of it, and if it ends."""
    depth = at = 0
    while (found := lookahead.search(_BRACE_OR_STRING, at, MAX_BYTES)) is not None:
        at = found + 1
        match lookahead.peek(1, found):
            case b"{":
                depth += 1
            case b"}":
                depth -= 1
                if not depth:
                    return at, True
            case _:
                at, is_closed = _measure_string(lookahead, at)
                if not is_closed:
                    return at, False
    return min(lookahead.available, MAX_BYTES), False


def _measure_string(lookahead: LookaheadStream, at: int) -> tuple[int, bool]:
    """Return the end of the string that begins before ``at``, or of its line, and whether it is closed."""
    while (found := lookahead.search(_IN_STRING, at, MAX_BYTES)) is not None:
        match lookahead.peek(1, found):
            case b'"':
                return found + 1, True
            case b"\n":
                return found, False
            case _:
                at = found + 2
    return min(lookahead.available, MAX_BYTES), False

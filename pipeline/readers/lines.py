"""Lines of bounded length from a stream and the JSON in them, for tables and for Enterprise dumps."""

import json
import re
from collections.abc import Iterator
from typing import Any

from pipeline.ledger import Drop, Reason
from pipeline.readers.lookahead import UNBOUNDED, LookaheadStream
from pipeline.readers.record import MAX_BYTES, Damaged, Origin, Skipped

_NEWLINE = re.compile(rb"\n")
_MAX_DIGITS = 4000
"""Digits of the longest number that is an integer: Python refuses to convert more than 4,300."""


def lines(lookahead: LookaheadStream, stop: int = UNBOUNDED) -> Iterator[bytes | Skipped]:
    """Yield each line that begins before ``stop``, with its line feed; the stream is then past that line.

    A line longer than ``MAX_BYTES`` is yielded as a skip instead.
    """
    while lookahead.position < stop and lookahead.peek(1):
        offset = lookahead.position
        end = lookahead.search(_NEWLINE, 0, MAX_BYTES)
        if end is None and not lookahead.eof:
            lookahead.skip(MAX_BYTES)
            skip_line(lookahead)
            origin = Origin(offset, lookahead.position - offset)
            yield Skipped(origin, "", Drop(Reason.TOO_LARGE, origin.length, MAX_BYTES))
            continue
        line = lookahead.peek(lookahead.available if end is None else end + 1)
        lookahead.skip(len(line))
        yield line


def skip_line(lookahead: LookaheadStream) -> None:
    """Advance past the next line feed, or to the end of the stream."""
    while (found := lookahead.search(_NEWLINE, 0, MAX_BYTES)) is None and lookahead.peek(1):
        lookahead.skip(MAX_BYTES)
    lookahead.skip(0 if found is None else found + 1)


def parse_object(line: bytes, origin: Origin) -> dict[str, Any] | Damaged:
    """Parse a JSON object. Integers of thousands of digits become infinite; the last of equal keys counts."""
    try:
        fields = json.loads(line, parse_int=_parse_integer)
    except (ValueError, RecursionError) as error:
        return Damaged(origin, f"not JSON: {error}")
    return fields if isinstance(fields, dict) else Damaged(origin, "not a JSON object")


def _parse_integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)

"""Cutting pieces of text into tokens: common ones by array arithmetic, the rest by the rules of ``words.py``.

Common is a piece of letters, perhaps joined by hyphens and apostrophes, or of digits, perhaps joined by full
stops, commas, colons and slashes, with at most one sign before and one behind it, if none of that makes a
listed exception. So are nineteen of twenty pieces of a web page.
"""

from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from core.hashing import Hashes
from pipeline.analysis import words
from pipeline.analysis.characters import (
    APOSTROPHE,
    BITS,
    CLOSING,
    DIGIT,
    HYPHEN,
    JOINER,
    LETTER,
    MARK,
    OPENING,
    SMALL,
    UNRULED,
    UNSPACED,
    WHITE,
    Kinds,
)
from pipeline.analysis.hashes import Codes, Positions, code_points, prefix_sums, span_values, where

Flags = NDArray[np.bool_]

PERCENT, FULL_STOP, SMALL_S = 0x25, 0x2E, 0x73
FIELD = 21
"""Bits of a count among several in one integer."""
LISTED_BITS = 18
FACTOR = 0xBF58476D1CE4E5B9


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """What white space separates in a text, in order, with the signs at both ends told apart."""

    starts: Positions
    ends: Positions
    first: Positions
    """Past the sign at the front, if there is one."""
    after: Positions
    """Before the sign at the back, if there is one."""


def find(kinds: Kinds) -> Pieces:
    """The pieces of a text by its characters' kinds."""
    inked = np.zeros(len(kinds) + 2, np.int8)
    inked[1:-1] = kinds & WHITE == 0
    steps = inked[1:] - inked[:-1]
    starts, ends = where(steps == 1), where(steps == -1)
    several = ends - starts > 1
    opened = several & (kinds[starts] & OPENING != 0)
    closed = several & (kinds[ends - 1] & CLOSING != 0)
    return Pieces(starts, ends, starts + opened, ends - closed)


def cut(text: str, codes: Codes, kinds: Kinds, prefix: Hashes, pieces: Pieces) -> Positions:
    """Where tokens begin inside of pieces, unordered."""
    if not len(pieces.starts):
        return pieces.starts
    common, hyphens = _common(codes, kinds, pieces)
    common &= ~_listed(prefix, pieces)
    common |= pieces.ends - pieces.starts == 1
    hyphens = hyphens[common[pieces.starts.searchsorted(hyphens, "right") - 1]]
    first, after = pieces.first, pieces.after
    at_owner = where(common & (after - first > 2) & (codes[after - 1] | 0x20 == SMALL_S))
    at_owner = at_owner[kinds[after[at_owner] - 2] & APOSTROPHE != 0]
    return np.concatenate(
        [
            _by_rules(text, pieces, where(~common)),
            first[common & (first > pieces.starts)],
            after[common & (after < pieces.ends)],
            after[at_owner] - 2,
            hyphens,
            hyphens + 1,
        ]
    )


def cut_unspaced(kinds: Kinds) -> Positions:
    """Before and after every letter of a script without spaces and its marks, unless white space is there."""
    letters = where(kinds & UNSPACED)
    plain = np.append(where(kinds & MARK == 0), len(kinds))
    edges = np.concatenate([letters, plain[plain.searchsorted(letters + 1)]])
    edges = edges[(edges > 0) & (edges < len(kinds))]
    inside: Positions = edges[((kinds[edges] | kinds[edges - 1]) & WHITE) == 0]
    return inside


def _by_rules(text: str, pieces: Pieces, chosen: Positions) -> Positions:
    starts, ends = pieces.starts[chosen], pieces.ends[chosen]
    each = [text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    lengths = list(map(words.token_lengths, each))
    counts = np.fromiter(map(len, lengths), np.int64, len(lengths))
    flat = np.fromiter(chain.from_iterable(lengths), np.int64, int(counts.sum()))
    before = flat.cumsum() - flat  # in all chosen pieces, as if nothing lay between them
    last = counts.cumsum()
    inside = before + np.repeat(starts - before[last - counts], counts)
    return np.delete(inside, last - counts)


def _common(codes: Codes, kinds: Kinds, pieces: Pieces) -> tuple[Flags, Positions]:
    """Which pieces are common but for exceptions; and where hyphens join letters."""
    first, after = pieces.first, pieces.after
    signs = where(kinds & (HYPHEN | APOSTROPHE | JOINER))
    signs = signs[(signs > 0) & (signs < len(codes) - 1)]
    around, kind = kinds[signs - 1] & kinds[signs + 1], kinds[signs]
    in_word = (around & LETTER != 0) & (kind & (HYPHEN | APOSTROPHE) != 0)
    in_number = (around & DIGIT != 0) & (kind & JOINER != 0)
    weights = _weights().take(kinds)
    weights[signs[in_word | in_number]] = 0
    sums = np.zeros(len(codes) + 1, np.int64)
    weights.cumsum(out=sums[1:])
    counts = sums[after] - sums[first]
    letters, digits, others = (
        counts >> FIELD & (1 << FIELD) - 1,
        counts >> 2 * FIELD,
        counts & (1 << FIELD) - 1,
    )
    common = (others == 0) & ((letters > 0) != (digits > 0))
    common &= pieces.ends - pieces.starts <= words.LONGEST
    closing = np.where(after < pieces.ends, codes[pieces.ends - 1], 0)
    common &= (closing != PERCENT) | (digits > 0)
    common &= (closing != FULL_STOP) | (kinds[after - 1] & (SMALL | DIGIT) != 0)
    return common, signs[in_word & (kind & HYPHEN != 0)]


@cache
def _weights() -> NDArray[np.int64]:
    """By kind, a 1 in the field of what is counted: letters, digits, and all that makes a piece uncommon."""
    kinds = np.arange(1 << BITS)
    is_letter = (kinds & LETTER != 0) & (kinds & UNRULED == 0)
    is_digit = kinds & DIGIT != 0
    return np.select([is_letter, is_digit], [1 << FIELD, 1 << 2 * FIELD], 1)


def _listed(prefix: Hashes, pieces: Pieces) -> Flags:
    """Which pieces may be exceptions, with or without the signs at their ends: all that are, a few more."""
    starts, ends, first, after = pieces.starts, pieces.ends, pieces.first, pieces.after
    result = _may_be_listed(span_values(prefix, starts, ends))
    signed = where((first > starts) | (after < ends))
    for begin, end in ((first, after), (first, ends), (starts, after)):
        result[signed] |= _may_be_listed(span_values(prefix, begin[signed], end[signed]))
    return result


def _may_be_listed(values: Hashes) -> Flags:
    return _listed_bits()[_places(values)]


@cache
def _listed_bits() -> Flags:
    """By a few bits of a span's value: whether an exception has them (Bloom 1970)."""
    bits = np.zeros(1 << LISTED_BITS, np.bool_)
    for word in words.exceptions():
        value = span_values(prefix_sums(code_points(word)), np.array([0]), np.array([len(word)]))
        bits[_places(value)] = True
    return bits


def _places(values: Hashes) -> Positions:
    """The highest bits of a product, which all bits of the value have a part in (Knuth 1973, section 6.4)."""
    return (values * np.uint64(FACTOR) >> np.uint64(64 - LISTED_BITS)).astype(np.int64)

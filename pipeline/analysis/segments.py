"""Split whitespace-separated segments of text into tokens: common ones by arrays, others by ``words.py``.

A common segment consists of letters, perhaps joined by hyphens and apostrophes, or of digits, perhaps joined
by full stops, commas, colons and slashes, with at most one sign at either end, and no part of it is a listed
exception. Nineteen of twenty segments of a web page are common.
"""

from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from core.hashing import Hashes
from pipeline.analysis import words
from pipeline.analysis.arrays import Codes, Flags, Positions, code_points, nonzero_indices
from pipeline.analysis.characters import (
    APOSTROPHE,
    BITS,
    CLOSING,
    DIGIT,
    HYPHEN,
    JOINER,
    LETTER,
    LOWERCASE,
    MARK,
    OPENING,
    UNCLASSIFIED_LETTER,
    UNSPACED,
    WHITE,
    CharClasses,
)
from pipeline.analysis.hashes import prefix_sums, span_values

PERCENT, FULL_STOP, LOWERCASE_S = 0x25, 0x2E, 0x73
FIELD = 21
"""Bits of one of the counts that are packed into one integer."""
FILTER_BITS = 18
FACTOR = 0xBF58476D1CE4E5B9


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """The parts of a text between white space, in order, each with its core: the part without outer signs."""

    starts: Positions
    ends: Positions
    core_starts: Positions
    """Past the leading sign, if there is one."""
    core_ends: Positions
    """Before the trailing sign, if there is one."""


def find_segments(classes: CharClasses) -> Segments:
    """Return the segments of a text, given the character classes of its code points."""
    inked = np.zeros(len(classes) + 2, np.int8)
    inked[1:-1] = classes & WHITE == 0
    steps = inked[1:] - inked[:-1]
    starts, ends = nonzero_indices(steps == 1), nonzero_indices(steps == -1)
    several = ends - starts > 1
    opened = several & (classes[starts] & OPENING != 0)
    closed = several & (classes[ends - 1] & CLOSING != 0)
    return Segments(starts, ends, starts + opened, ends - closed)


def token_boundaries(
    text: str, codes: Codes, classes: CharClasses, prefix: Hashes, segments: Segments
) -> Positions:
    """Return the offsets within segments at which a token starts, unordered."""
    if not len(segments.starts):
        return segments.starts
    common, hyphens = _common(codes, classes, segments)
    common &= ~_may_contain_exception(prefix, segments)
    common |= segments.ends - segments.starts == 1
    hyphens = hyphens[common[segments.starts.searchsorted(hyphens, "right") - 1]]
    first, after = segments.core_starts, segments.core_ends
    possessive = nonzero_indices(common & (after - first > 2) & (codes[after - 1] | 0x20 == LOWERCASE_S))
    possessive = possessive[classes[after[possessive] - 2] & APOSTROPHE != 0]
    return np.concatenate(
        [
            _boundaries_by_rules(text, segments, nonzero_indices(~common)),
            first[common & (first > segments.starts)],
            after[common & (after < segments.ends)],
            after[possessive] - 2,
            hyphens,
            hyphens + 1,
        ]
    )


def unspaced_boundaries(classes: CharClasses) -> Positions:
    """Return the offsets before and after letters of scripts without spaces, except next to white space.

    Combining marks stay with their letter.
    """
    letters = nonzero_indices(classes & UNSPACED)
    plain = np.append(nonzero_indices(classes & MARK == 0), len(classes))
    edges = np.concatenate([letters, plain[plain.searchsorted(letters + 1)]])
    edges = edges[(edges > 0) & (edges < len(classes))]
    inside: Positions = edges[((classes[edges] | classes[edges - 1]) & WHITE) == 0]
    return inside


def _boundaries_by_rules(text: str, segments: Segments, indices: Positions) -> Positions:
    starts, ends = segments.starts[indices], segments.ends[indices]
    each = [text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    lengths = list(map(words.token_lengths, each))
    counts = np.fromiter(map(len, lengths), np.int64, len(lengths))
    flat = np.fromiter(chain.from_iterable(lengths), np.int64, int(counts.sum()))
    before = flat.cumsum() - flat  # offsets as if the selected segments were adjacent
    last = counts.cumsum()
    inside = before + np.repeat(starts - before[last - counts], counts)
    return np.delete(inside, last - counts)


def _common(codes: Codes, classes: CharClasses, segments: Segments) -> tuple[Flags, Positions]:
    """Return which segments are common, exceptions aside, and the offsets of hyphens that join letters."""
    first, after = segments.core_starts, segments.core_ends
    signs = nonzero_indices(classes & (HYPHEN | APOSTROPHE | JOINER))
    signs = signs[(signs > 0) & (signs < len(codes) - 1)]
    around, sign_classes = classes[signs - 1] & classes[signs + 1], classes[signs]
    in_word = (around & LETTER != 0) & (sign_classes & (HYPHEN | APOSTROPHE) != 0)
    in_number = (around & DIGIT != 0) & (sign_classes & JOINER != 0)
    weights = _weights().take(classes)
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
    common &= segments.ends - segments.starts <= words.MAX_LENGTH
    closing = np.where(after < segments.ends, codes[segments.ends - 1], 0)
    common &= (closing != PERCENT) | (digits > 0)
    common &= (closing != FULL_STOP) | (classes[after - 1] & (LOWERCASE | DIGIT) != 0)
    return common, signs[in_word & (sign_classes & HYPHEN != 0)]


@cache
def _weights() -> NDArray[np.int64]:
    """Return, by class bitmask, a 1 in the field that counts it: letters, digits or uncommon characters."""
    classes = np.arange(1 << BITS)
    is_letter = (classes & LETTER != 0) & (classes & UNCLASSIFIED_LETTER == 0)
    is_digit = classes & DIGIT != 0
    return np.select([is_letter, is_digit], [1 << FIELD, 1 << 2 * FIELD], 1)


def _may_contain_exception(prefix: Hashes, segments: Segments) -> Flags:
    """Return which segments may be exceptions, with or without outer signs: no false negatives."""
    starts, ends = segments.starts, segments.ends
    first, after = segments.core_starts, segments.core_ends
    result = _may_be_exception(span_values(prefix, starts, ends))
    signed = nonzero_indices((first > starts) | (after < ends))
    for begin, end in ((first, after), (first, ends), (starts, after)):
        result[signed] |= _may_be_exception(span_values(prefix, begin[signed], end[signed]))
    return result


def _may_be_exception(values: Hashes) -> Flags:
    return _exception_filter()[_filter_indices(values)]


@cache
def _exception_filter() -> Flags:
    """Return a Bloom filter with one hash function (Bloom 1970) over the values of all exceptions."""
    bits = np.zeros(1 << FILTER_BITS, np.bool_)
    for word in words.exceptions():
        value = span_values(prefix_sums(code_points(word)), np.array([0]), np.array([len(word)]))
        bits[_filter_indices(value)] = True
    return bits


def _filter_indices(values: Hashes) -> Positions:
    """Return the highest bits of a product (multiplicative hashing: Knuth 1973, section 6.4)."""
    return (values * np.uint64(FACTOR) >> np.uint64(64 - FILTER_BITS)).astype(np.int64)

"""Words for comparing documents: what remains when case, accents, punctuation and numbers are ignored.

The rules are FineWeb's (Penedo et al. 2024; datatrove's ``simplify_text``): lower case, a number becomes
``0``, accents and other combining marks are dropped, and everything that is not a letter or a number
separates words. In scripts written without spaces every letter is a word. A batch of texts is one array.
"""

import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import numpy as np

from core.hashing import Hashes
from pipeline.analysis.arrays import Codes, Flags, Positions, code_points, nonzero_indices, prefix_counts
from pipeline.analysis.characters import MARK, UNSPACED, WORDLIKE, cached_table, character_table
from pipeline.analysis.hashes import prefix_sums, span_hashes

SEPARATOR, ZERO, DROPPED = 0, ord("0"), 0xFFFFFFFF
_DECIMAL_SIGNS = ".,،٫"
_MAX_CHARACTERS = 1 << 20
"""Texts are processed together up to this length, which bounds the memory of a batch."""


@dataclass(frozen=True, slots=True, eq=False)
class NormalizedWords:
    """Words of a batch of texts."""

    hashes: Hashes
    """uint64[words], of all texts in order. Equal words have equal hashes, in any batch."""
    offsets: Positions
    """int64[texts + 1]: text ``i`` has the words ``offsets[i]:offsets[i + 1]``."""
    starts: Positions
    """int64[words]: where each word starts in its text, in code points."""
    ends: Positions
    """int64[words]: where each word ends in its text."""

    def of_text(self, index: int) -> Hashes:
        """Return the hashes of one text's words."""
        return self.hashes[self.offsets[index] : self.offsets[index + 1]]


def normalized_words(texts: Sequence[str]) -> NormalizedWords:
    """Return the normalized words of every text. About 8 ns a character."""
    parts, first = [], 0
    sums = list(accumulate(map(len, texts), initial=0))
    for index in range(1, len(texts) + 1):
        if index == len(texts) or sums[index + 1] - sums[first] > _MAX_CHARACTERS:
            parts.append(_words(texts[first:index]))
            first = index
    words_before = list(accumulate((len(part.hashes) for part in parts), initial=0))
    offsets = [part.offsets[:-1] + before for part, before in zip(parts, words_before, strict=False)]
    return NormalizedWords(
        np.concatenate([part.hashes for part in parts] or [np.empty(0, np.uint64)]),
        np.concatenate([*offsets, np.array(words_before[-1:], np.int64)]),
        np.concatenate([part.starts for part in parts] or [np.empty(0, np.int64)]),
        np.concatenate([part.ends for part in parts] or [np.empty(0, np.int64)]),
    )


def _words(texts: Sequence[str]) -> NormalizedWords:
    codes = code_points("\n".join(texts))
    normalized = _table().take(codes)
    kept = nonzero_indices(normalized != DROPPED)
    normalized = normalized[kept]
    if (digits := normalized == ZERO).any():
        within = _continues_number(codes[kept], digits)
        normalized, kept = normalized[~within], kept[~within]
    starts, ends = _word_spans(normalized, character_table().classes.take(codes[kept]) & UNSPACED != 0)
    hashes = span_hashes(prefix_sums(normalized), starts, ends)
    # The texts are joined by one newline, which is a separator.
    text_starts = np.fromiter(accumulate((len(text) + 1 for text in texts), initial=0), np.int64)
    starts, ends = kept[starts], np.append(kept, len(codes))[ends]  # with the dropped characters at the end
    offsets = starts.searchsorted(text_starts)
    before = np.repeat(text_starts[:-1], np.diff(offsets))
    return NormalizedWords(hashes, offsets, starts - before, ends - before)


def _word_spans(normalized: Codes, unspaced: Flags) -> tuple[Positions, Positions]:
    """Return starts and ends of the words: runs without a separator, or letters of unspaced scripts."""
    inside = np.zeros(len(normalized) + 2, np.bool_)
    inside[1:-1] = normalized != SEPARATOR
    boundary = inside[1:] != inside[:-1]
    if unspaced.any():
        boundary[:-1] |= unspaced
        boundary[1:] |= unspaced
    starts, ends = boundary & inside[1:], boundary & inside[:-1]
    return nonzero_indices(starts), nonzero_indices(ends)


def _continues_number(codes: Codes, digits: Flags) -> Flags:
    """Return which characters continue a number: further digits, and a decimal sign with the digits after it.

    A number has one decimal sign: ``1.2.3`` is ``1.2`` and ``3``.
    """
    result = np.zeros(len(digits), np.bool_)
    result[1:] = digits[1:] & digits[:-1]
    signs = nonzero_indices(_is_decimal_sign(codes))
    signs = signs[(signs > 0) & (signs < len(codes) - 1)]
    signs = signs[digits[signs - 1] & digits[signs + 1]]
    if len(signs):
        counts = prefix_counts(digits)
        # In a chain of signs with only digits between them, every other one is decimal.
        chained = counts[signs[1:]] - counts[signs[:-1]] == signs[1:] - signs[:-1] - 1
        position = np.arange(len(signs))
        heads = np.where(np.concatenate([[False], chained]), 0, position)
        decimal = signs[(position - np.maximum.accumulate(heads)) % 2 == 0]
        result[decimal] = True
        result[decimal + 1] = True
    return result


def _is_decimal_sign(codes: Codes) -> Flags:
    first, *others = map(ord, _DECIMAL_SIGNS)
    result: Flags = codes == first
    for sign in others:
        result |= codes == sign
    return result


@cache
def _table() -> Codes:
    return cached_table("normalized", _build_table)


def _build_table() -> Codes:
    """Return what each code point becomes: a letter, ``ZERO``, ``SEPARATOR`` or ``DROPPED``."""
    classes, lower = character_table().classes, character_table().lower
    table = np.where(classes & WORDLIKE != 0, lower, SEPARATOR).astype(np.uint32)
    for code in nonzero_indices(table).tolist():
        base = unicodedata.normalize("NFD", chr(table[code]).lower())
        base = "".join(each for each in base if unicodedata.category(each) != "Mn")
        if len(base) == 1:
            table[code] = ord(base)
    decimal = [code for code in range(sys.maxunicode + 1) if chr(code).isdecimal()]
    table[decimal] = ZERO
    marks = nonzero_indices(classes & MARK)
    table[[code for code in marks.tolist() if unicodedata.category(chr(code)) in ("Mn", "Cf")]] = DROPPED
    return table

"""Gopher's quality and repetition measures (Rae et al. 2021, arXiv:2112.11446, section A.1.1).

Where projects compute the same name differently, these are datatrove's variants: repeated elements count
from their second occurrence on, characters are counted against all characters of the text, and repeated
5- to 10-grams are found by walking the text, a repetition being skipped as a whole.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np

from pipeline.analysis import Analysis, Flags, Hashes, Positions, Spans, hash_words, lengthen

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
TOP_ORDERS = range(2, 5)
DUPLICATE_ORDERS = range(5, 11)

_BULLETS = ("•", "-")
_ELLIPSES = ("...", "…")


def quality(analysis: Analysis) -> dict[str, float]:
    """Word counts and lengths, and shares of symbols, bullets, ellipses and alphabetic words.

    Words are tokens with a letter or digit; the mean length is in characters; the other shares are per token
    (symbols included) or per line. Of a text without tokens or lines every share is 0.
    """
    text, tokens = analysis.text, max(len(analysis.tokens), 1)
    words = int(analysis.is_word.sum())
    lines = text.splitlines()
    bullets = sum(line.lstrip().startswith(_BULLETS) for line in lines)
    ellipses = sum(line.rstrip().endswith(_ELLIPSES) for line in lines)
    as_written = set(analysis.tokens.hashes.tolist())
    return {
        "gopher_words": words,
        "gopher_mean_word_length": float(analysis.tokens.lengths[analysis.is_word].sum()) / max(words, 1),
        "gopher_hashes_per_word": text.count("#") / tokens,
        "gopher_ellipses_per_word": (text.count("...") + text.count("…")) / tokens,
        "gopher_bullet_lines": bullets / max(len(lines), 1),
        "gopher_ellipsis_lines": ellipses / max(len(lines), 1),
        "gopher_alphabetic_words": int(analysis.has_letter.sum()) / tokens,
        "gopher_stop_words": len(_stop_word_hashes() & as_written),
    }


def repetition(analysis: Analysis) -> dict[str, float]:
    """Shares of repeated paragraphs and lines, and of characters in them and in repeated n-grams."""
    characters = max(len(analysis.text), 1)
    paragraphs, paragraph_characters = duplicates(analysis.paragraphs)
    ruled = _lines_between_breaks(analysis)
    lines, line_characters = duplicates(ruled)
    measures = {
        "gopher_duplicate_paragraphs": paragraphs / len(analysis.paragraphs),
        "gopher_duplicate_paragraph_characters": paragraph_characters / characters,
        "gopher_duplicate_lines": lines / max(len(ruled), 1),
        "gopher_duplicate_line_characters": line_characters / characters,
    }
    measures.update((name, repeated / characters) for name, repeated in _ngram_characters(analysis.tokens))
    return measures


@cache
def _stop_word_hashes() -> frozenset[int]:
    return frozenset(hash_words(STOP_WORDS).tolist())


def duplicates(spans: Spans) -> tuple[int, int]:
    """How many spans repeat an earlier one, and the characters in them."""
    first = np.unique(spans.hashes, return_index=True)[1]
    lengths = spans.lengths
    return len(spans) - len(first), int(lengths.sum() - lengths[first].sum())


def _lines_between_breaks(analysis: Analysis) -> Spans:
    """The lines that runs of newlines separate: empty ones only at the text's very start and end."""
    lines = analysis.lines
    wanted = lines.lengths > 0
    wanted[0] = wanted[-1] = True
    return lines.where(wanted)


def _ngram_characters(tokens: Spans) -> Iterator[tuple[str, int]]:
    """Characters in the most frequent 2- to 4-gram and in repeated 5- to 10-grams, by metric.

    An n-gram can only repeat where its first n − 1 tokens do, so that each order looks at fewer places.
    """
    lengths = np.concatenate([[0], np.cumsum(tokens.lengths)])
    hashes, places = tokens.hashes, np.arange(len(tokens))
    for n in range(2, DUPLICATE_ORDERS.stop):
        hashes = lengthen(hashes, tokens.hashes, n)
        places = places[places < len(hashes)]
        places, groups, counts = _repeated(hashes, places)
        sizes = lengths[n:] - lengths[:-n] if len(hashes) else lengths[:0]
        if n in TOP_ORDERS:
            yield f"gopher_top_{n}_gram", _most_frequent(sizes + n - 1, places, counts)
        elif n in DUPLICATE_ORDERS:
            yield f"gopher_duplicate_{n}_grams", _skipping(sizes, places, groups, n)


def _repeated(hashes: Hashes, places: Positions) -> tuple[Positions, Positions, Positions]:
    """Those of ``places`` whose hash occurs at several of them: place, number of its group, group's size."""
    if len(places) < 2:
        return places[:0], places[:0], places[:0]
    values = hashes[places]
    order = values.argsort(kind="stable")
    ordered = values[order]
    begins = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    sizes = np.diff(np.append(np.flatnonzero(begins), len(ordered)))
    several: Flags = np.repeat(sizes > 1, sizes)
    members = order[several]
    back = members.argsort()
    groups, counts = np.cumsum(begins)[several], np.repeat(sizes, sizes)[several]
    return places[members[back]], groups[back], counts[back]


def _most_frequent(sizes: Positions, places: Positions, counts: Positions) -> int:
    """Size times count of the most frequent n-gram; among equally frequent ones, of the first in the text."""
    if not len(sizes):
        return 0
    if not len(places):
        return int(sizes[0])
    best = int(counts.argmax())
    return int(sizes[places[best]] * counts[best])


def _skipping(sizes: Positions, places: Positions, groups: Positions, n: int) -> int:
    """Characters of n-grams met before, when every repetition found is skipped as a whole."""
    met: set[int] = set()
    total, resume = 0, 0
    for place, group, size in zip(places.tolist(), groups.tolist(), sizes[places].tolist(), strict=True):
        if place < resume:
            continue
        if group in met:
            total += size
            resume = place + n
        else:
            met.add(group)
    return total

"""Gopher's quality and repetition metrics (Rae et al. 2021, arXiv:2112.11446, section A.1.1).

Projects compute these metrics differently; this module follows datatrove. Repeated elements count from their
second occurrence on, characters are relative to all characters of the text, and repeated 5- to 10-grams are
found from left to right, skipping the whole n-gram after a repetition.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np

from pipeline.analysis import Analysis, Codes, Flags, Hashes, Positions, Spans, hash_words, prefix_counts
from pipeline.analysis.characters import SYMBOL
from pipeline.filters.heuristics.repetition import TOP_ORDERS, Ngrams, repeated_ngrams

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
FULL_STOP, ELLIPSIS = 0x2E, 0x2026
_BULLETS = (0x2D, 0x2022)


def quality(analysis: Analysis) -> dict[str, float]:
    """Return word counts and lengths, and shares of symbols, bullets, ellipses and alphabetic words.

    Words are tokens that do not consist of symbols only; the mean length is in characters. Shares are per
    token, symbols included, or per line. All metrics of an empty text are 0.
    """
    text, tokens = analysis.text, max(len(analysis.tokens), 1)
    plain = prefix_counts(analysis.char_classes & SYMBOL == 0)
    is_word = plain[analysis.tokens.ends] > plain[analysis.tokens.starts]
    words, lines = int(is_word.sum()), max(len(analysis.split_lines), 1)
    stop_words = (analysis.tokens.hashes[:, None] == _stop_word_hashes()).any(axis=0)
    hash_signs, dots = text.count("#") / tokens, (text.count("...") + text.count("…")) / tokens
    return {
        "gopher_words": words,
        "gopher_mean_word_length": float(analysis.tokens.lengths[is_word].sum()) / max(words, 1),
        "gopher_hashes_per_word": hash_signs,
        "gopher_ellipses_per_word": dots,
        "gopher_symbols_per_word": hash_signs + dots,
        "gopher_bullet_lines": _bullet_lines(analysis) / lines,
        "gopher_ellipsis_lines": _ellipsis_lines(analysis) / lines,
        "gopher_alphabetic_words": int(analysis.has_letter.sum()) / tokens,
        "gopher_stop_words": int(stop_words.sum()),
    }


def _bullet_lines(analysis: Analysis) -> int:
    lines = analysis.split_lines
    first = lines.first_segment[lines.end_segment > lines.first_segment]
    return int(np.isin(analysis.codes[analysis.segments.starts[first]], _BULLETS).sum())


def _ellipsis_lines(analysis: Analysis) -> int:
    lines = analysis.split_lines
    last = lines.end_segment[lines.end_segment > lines.first_segment] - 1
    starts, ends = analysis.segments.starts[last], analysis.segments.ends[last]
    return int(
        ends_in_ellipsis(analysis.codes, starts, ends).sum() + (analysis.codes[ends - 1] == ELLIPSIS).sum()
    )


def ends_in_ellipsis(codes: Codes, starts: Positions, ends: Positions) -> Flags:
    """Return which spans end in three full stops."""
    three = [codes[np.maximum(ends - back, 0)] == FULL_STOP for back in (1, 2, 3)]
    dots: Flags = (ends - starts >= 3) & three[0] & three[1] & three[2]
    return dots


def repetition(analysis: Analysis) -> dict[str, float]:
    """Return shares of repeated paragraphs and lines, and of characters in them and in repeated n-grams."""
    characters = max(len(analysis.text), 1)
    paragraphs, paragraph_characters = duplicates(analysis.paragraphs)
    all_lines = _lines_between_breaks(analysis)
    lines, line_characters = duplicates(all_lines)
    metrics = {
        "gopher_duplicate_paragraphs": paragraphs / len(analysis.paragraphs),
        "gopher_duplicate_paragraph_characters": paragraph_characters / characters,
        "gopher_duplicate_lines": lines / max(len(all_lines), 1),
        "gopher_duplicate_line_characters": line_characters / characters,
    }
    # Occurrences of the most frequent n-gram may overlap, so that their characters exceed those of the text.
    metrics.update(
        (name, min(repeated / characters, 1.0)) for name, repeated in _ngram_characters(analysis.tokens)
    )
    return metrics


@cache
def _stop_word_hashes() -> Hashes:
    return hash_words(STOP_WORDS)


def duplicates(spans: Spans) -> tuple[int, int]:
    """Return the number of spans that repeat an earlier one, and the characters in them."""
    lengths = spans.lengths.tolist()
    distinct = dict(zip(spans.hashes.tolist(), lengths, strict=True))
    return len(lengths) - len(distinct), sum(lengths) - sum(distinct.values())


def _lines_between_breaks(analysis: Analysis) -> Spans:
    """Return the lines separated by one or more newlines: empty only at the start and end of the text."""
    lines = analysis.lines
    selected = lines.lengths > 0
    selected[0] = selected[-1] = True
    return lines.filter(selected)


def _ngram_characters(tokens: Spans) -> Iterator[tuple[str, int]]:
    """Yield the characters in the most frequent 2- to 4-gram and in repeated 5- to 10-grams, by metric."""
    edges = np.concatenate([[0], tokens.lengths.cumsum()])
    for ngrams in repeated_ngrams(tokens.hashes, edges):
        n = ngrams.n
        if n not in TOP_ORDERS:
            yield f"gopher_duplicate_{n}_grams", _duplicate_characters(ngrams)
        elif len(ngrams.starts):
            best = ngrams.counts.argmax()  # the first of the most frequent ones
            yield f"gopher_top_{n}_gram", int((ngrams.sizes[best] + n - 1) * ngrams.counts[best])
        else:
            first = int(edges[n]) + n - 1 if len(tokens) >= n else 0
            yield f"gopher_top_{n}_gram", first


def _duplicate_characters(ngrams: Ngrams) -> int:
    """Return the characters of n-grams that occurred before, counting no word twice."""
    seen: set[int] = set()
    total, resume = 0, 0
    occurrences = zip(ngrams.starts.tolist(), ngrams.hashes.tolist(), ngrams.sizes.tolist(), strict=True)
    for start, ngram, size in occurrences:
        if start < resume:
            continue
        if ngram in seen:
            total += size
            resume = start + ngrams.n
        else:
            seen.add(ngram)
    return total

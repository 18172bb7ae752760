"""Gopher's quality and repetition metrics (Rae et al. 2021, arXiv:2112.11446, section A.1.1).

Projects compute these metrics differently; this module follows datatrove. Repeated elements count from their
second occurrence on, characters are relative to all characters of the text, and repeated 5- to 10-grams are
found from left to right, skipping the whole n-gram after a repetition. They are compared word by word, where
datatrove joins the words without spaces, so that ``. ...`` and ``... .`` are the same to it.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np

from pipeline.analysis import (
    Analysis,
    Codes,
    Columns,
    Flags,
    Groups,
    Hashes,
    Positions,
    Spans,
    grouped_hashes,
    hash_words,
    nonzero_indices,
    prefix_counts,
)
from pipeline.analysis.arrays import changes
from pipeline.analysis.characters import SYMBOL
from pipeline.filters.heuristics.repetition import TOP_ORDERS, Ngrams, repeated_ngrams

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
FULL_STOP, ELLIPSIS = 0x2E, 0x2026
_HYPHEN, _BULLET = 0x2D, 0x2022


def quality(analysis: Analysis) -> Columns:
    """Return word counts and lengths, and shares of symbols, bullets, ellipses and alphabetic words.

    Words are tokens that do not consist of symbols only; the mean length is in characters. Shares are per
    token, symbols included, or per line. All metrics of an empty text are 0.
    """
    texts, groups = analysis.texts, analysis.token_groups
    tokens = np.maximum(groups.sizes, 1)
    plain = prefix_counts(analysis.char_classes & SYMBOL == 0)
    is_word = plain[analysis.tokens.ends] > plain[analysis.tokens.starts]
    words, lines = groups.sums(is_word), np.maximum(analysis.split_line_groups.sizes, 1)
    hash_signs = np.array([text.count("#") for text in texts]) / tokens
    dots = np.array([text.count("...") + text.count("…") for text in texts]) / tokens
    return {
        "gopher_words": words.astype(np.float64),
        "gopher_mean_word_length": groups.sums(analysis.tokens.lengths * is_word) / np.maximum(words, 1),
        "gopher_hashes_per_word": hash_signs,
        "gopher_ellipses_per_word": dots,
        "gopher_symbols_per_word": hash_signs + dots,
        "gopher_bullet_lines": _bullet_lines(analysis) / lines,
        "gopher_ellipsis_lines": _ellipsis_lines(analysis) / lines,
        "gopher_alphabetic_words": groups.sums(analysis.has_letter) / tokens,
        "gopher_stop_words": _stop_words(analysis).astype(np.float64),
    }


def _stop_words(analysis: Analysis) -> Positions:
    """Return the number of distinct stop words in each text."""
    counts = np.zeros(len(analysis.texts), np.int64)
    for stop_word in _stop_word_hashes():
        found = analysis.token_groups.owners_of(nonzero_indices(analysis.tokens.hashes == stop_word))
        counts[found] += 1  # once per text
    return counts


def _bullet_lines(analysis: Analysis) -> Positions:
    lines = analysis.split_lines
    inked = nonzero_indices(lines.end_segment > lines.first_segment)
    first = analysis.codes[analysis.segments.starts[lines.first_segment[inked]]]
    return analysis.split_line_groups.counts(inked[(first == _HYPHEN) | (first == _BULLET)])


def _ellipsis_lines(analysis: Analysis) -> Positions:
    lines, segments = analysis.split_lines, analysis.segments
    inked = nonzero_indices(lines.end_segment > lines.first_segment)
    last = lines.end_segment[inked] - 1
    ends = segments.ends[last]
    found = ends_in_ellipsis(analysis.codes, segments.starts[last], ends)
    return analysis.split_line_groups.counts(inked[found | (analysis.codes[ends - 1] == ELLIPSIS)])


def ends_in_ellipsis(codes: Codes, starts: Positions, ends: Positions) -> Flags:
    """Return which spans end in three full stops."""
    three = [codes[np.maximum(ends - back, 0)] == FULL_STOP for back in (1, 2, 3)]
    dots: Flags = (ends - starts >= 3) & three[0] & three[1] & three[2]
    return dots


def repetition(analysis: Analysis) -> Columns:
    """Return shares of repeated paragraphs and lines, and of characters in them and in repeated n-grams."""
    characters = np.maximum(analysis.text_ends - analysis.text_starts, 1)
    paragraphs, paragraph_characters = duplicates(analysis.paragraphs, analysis.paragraph_groups)
    all_lines, line_groups = _lines_between_breaks(analysis)
    lines, line_characters = duplicates(all_lines, line_groups)
    metrics = {
        "gopher_duplicate_paragraphs": paragraphs / analysis.paragraph_groups.sizes,
        "gopher_duplicate_paragraph_characters": paragraph_characters / characters,
        "gopher_duplicate_lines": lines / np.maximum(line_groups.sizes, 1),
        "gopher_duplicate_line_characters": line_characters / characters,
    }
    # Occurrences of the most frequent n-gram may overlap, so that their characters exceed those of the text.
    metrics.update(
        (name, np.minimum(repeated / characters, 1.0)) for name, repeated in _ngram_characters(analysis)
    )
    return metrics


@cache
def _stop_word_hashes() -> Hashes:
    return hash_words(STOP_WORDS)


def duplicates(spans: Spans, groups: Groups) -> tuple[Positions, Positions]:
    """Return, per text, the number of spans that repeat another one of it, and the characters in them."""
    hashes = grouped_hashes(spans.hashes, groups)
    order = hashes.argsort()
    ordered = hashes[order]
    repeated = np.zeros(len(hashes), np.bool_)
    repeated[order[1:]] = ordered[1:] == ordered[:-1]
    return groups.sums(repeated), groups.sums(spans.lengths * repeated)


def _lines_between_breaks(analysis: Analysis) -> tuple[Spans, Groups]:
    """Return the lines separated by one or more newlines: empty only at the start and end of a text."""
    lines, bounds = analysis.lines, analysis.line_groups.bounds
    selected = lines.lengths > 0
    selected[bounds[:-1]] = selected[bounds[1:] - 1] = True
    return lines.filter(selected), analysis.line_groups.filter(selected)


def _ngram_characters(analysis: Analysis) -> Iterator[tuple[str, Positions]]:
    """Yield the characters in the most frequent 2- to 4-gram and in repeated 5- to 10-grams, by metric."""
    tokens, groups = analysis.tokens, analysis.token_groups
    edges = prefix_counts(tokens.lengths)
    for ngrams in repeated_ngrams(tokens.hashes, edges, groups):
        owners = groups.owners_of(ngrams.starts)
        if ngrams.n not in TOP_ORDERS:
            yield (
                f"gopher_duplicate_{ngrams.n}_grams",
                _duplicate_characters(ngrams, owners, len(groups.sizes)),
            )
            continue
        between = ngrams.n - 1
        # Where none is repeated, the first n-gram is the most frequent one.
        long_enough = nonzero_indices(groups.sizes >= ngrams.n)
        first = groups.bounds[long_enough]
        characters = np.zeros(len(groups.sizes), np.int64)
        characters[long_enough] = edges[first + ngrams.n] - edges[first] + between
        best = _most_frequent(ngrams.counts, owners)
        characters[owners[best]] = (ngrams.sizes[best] + between) * ngrams.counts[best]
        yield f"gopher_top_{ngrams.n}_gram", characters


def _most_frequent(counts: Positions, owners: Positions) -> Positions:
    """Return the first of the elements with the highest count of each owner."""
    if not len(owners):
        return owners
    begins = changes(owners)
    highest = np.maximum.reduceat(counts, begins)
    candidates = nonzero_indices(counts == highest.repeat(np.append(begins[1:], len(owners)) - begins))
    return candidates[changes(owners[candidates])]


def _duplicate_characters(ngrams: Ngrams, owners: Positions, texts: int) -> Positions:
    """Return the characters of n-grams that occurred before in their text, counting no word twice."""
    seen: set[int] = set()
    totals, resume = [0] * texts, 0
    columns = (owners, ngrams.starts, ngrams.hashes, ngrams.sizes)
    for owner, start, ngram, size in zip(*(column.tolist() for column in columns), strict=True):
        if start < resume:
            continue
        if ngram in seen:
            totals[owner] += size
            resume = start + ngrams.n
        else:
            seen.add(ngram)
    return np.array(totals)

"""Gopher's metrics as computed by DCLM (Li et al. 2024, arXiv:2406.11794; its ``content_filters.py``).

Differences from datatrove, which ``gopher.py`` follows:

- Words are separated by white space, for word lengths and shares.
- Every occurrence of a stop word counts, in any case. Hash signs and ellipses count together.
- Lines and paragraphs are stripped; blank ones are ignored.
- Every copy of a repeated item counts, including the first; repeated n-grams count as the words they cover.
- Characters are those of lines, paragraphs or words, without separators.

N-grams are over the words of :mod:`pipeline.analysis`; DCLM uses Unicode word boundaries.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from pipeline.analysis import Analysis, Positions
from pipeline.filters.heuristics.gopher import STOP_WORDS
from pipeline.filters.heuristics.repetition import (
    TOP_ORDERS,
    Ngrams,
    count_repeated,
    exact_ids,
    repeated_ngrams,
    word_lengths,
)

_SYMBOLS = ("#", "...", ". . .", "…")
_BULLETS = ("●", "•", "*", "-")
_ELLIPSES = ("...", ". . .", "…")


def measure(analysis: Analysis) -> list[dict[str, float]]:
    """Return the metrics that DCLM's rules use, under Gopher's names, of each text.

    All are 0 for a text without words.
    """
    tokens, groups = analysis.tokens.filter(analysis.is_word), analysis.token_groups.filter(analysis.is_word)
    spans = zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True)
    words = [analysis.text[start:end] for start, end in spans]
    bounds = pairwise(groups.bounds.tolist())
    return [
        _measure(text, words[first:past]) for text, (first, past) in zip(analysis.texts, bounds, strict=True)
    ]


def _measure(text: str, tokens: Sequence[str]) -> dict[str, float]:
    words, lines = text.split(), _stripped(text.split("\n"))
    count, line_count = max(len(words), 1), max(len(lines), 1)
    return {
        "gopher_words": sum(word[0].isalnum() for word in words),
        "gopher_mean_word_length": sum(map(len, words)) / count,
        "gopher_symbols_per_word": sum(map(text.count, _SYMBOLS)) / count,
        "gopher_alphabetic_words": sum(any(map(str.isalpha, word)) for word in words) / count,
        "gopher_stop_words": sum(word.lower() in STOP_WORDS for word in words),
        "gopher_bullet_lines": sum(line.startswith(_BULLETS) for line in lines) / line_count,
        "gopher_ellipsis_lines": sum(line.endswith(_ELLIPSES) for line in lines) / line_count,
        **_repetition("line", lines),
        **_repetition("paragraph", _stripped(text.split("\n\n"))),
        **dict(_ngram_metrics(tokens)),
    }


def _stripped(parts: Sequence[str]) -> list[str]:
    return [stripped for part in parts if (stripped := part.strip())]


def _repetition(unit: str, items: list[str]) -> dict[str, float]:
    """Return the shares of repeated lines or paragraphs, and of characters in them."""
    copies, characters = count_repeated(items)
    return {
        f"gopher_duplicate_{unit}s": copies / max(len(items), 1),
        f"gopher_duplicate_{unit}_characters": characters / max(sum(map(len, items)), 1),
    }


def _ngram_metrics(words: Sequence[str]) -> Iterator[tuple[str, float]]:
    edges = np.concatenate([[0], np.cumsum(word_lengths(words))])
    for ngrams in repeated_ngrams(exact_ids(words), edges):
        if ngrams.n in TOP_ORDERS:
            most = ngrams.counts == ngrams.counts.max(initial=0)
            size = int((ngrams.sizes[most] * ngrams.counts[most]).max(initial=0))
            share = min(size / max(int(edges[-1]), 1), 1.0)  # occurrences may overlap
            yield f"gopher_top_{ngrams.n}_gram", share
        else:
            covered = int(np.diff(edges)[_covered(ngrams, len(words))].sum())
            yield f"gopher_duplicate_{ngrams.n}_grams", covered / max(int(edges[-1]), 1)


def _covered(ngrams: Ngrams, num_words: int) -> Positions:
    """Return the indices of the words that are part of at least one of the n-grams."""
    depth = np.zeros(num_words + 1, np.int64)
    np.add.at(depth, ngrams.starts, 1)
    np.add.at(depth, ngrams.starts + ngrams.n, -1)
    return np.flatnonzero(np.cumsum(depth)[:-1])

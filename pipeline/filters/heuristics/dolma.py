"""Gopher's metrics as computed by Dolma's tagger ``gopher_v1`` (Soldaini et al. 2024, arXiv:2402.00159).

Differences from datatrove, which ``gopher.py`` follows:

- Words are separated by white space and include punctuation; their length is the median.
- Every occurrence of a stop word counts. A hash sign or an ellipsis counts once per word.
- Bullets are ``*`` and ``-`` at the very start of a line; only ``…`` is an ellipsis at the end of a line.
- Lines are separated by newlines, and empty lines count.
- Every copy of a repeated item counts, including the first.
- Characters are those of words, without white space.
"""

from collections.abc import Iterator
from statistics import median

import numpy as np

from pipeline.analysis import Positions
from pipeline.filters.heuristics.gopher import STOP_WORDS
from pipeline.filters.heuristics.repetition import (
    TOP_ORDERS,
    count_repeated,
    exact_ids,
    repeated_ngrams,
    word_lengths,
)

_TERMINAL_MARKS = (".", "?", "!", '"')
_SYMBOLS = ("#", "…")
_BULLETS = ("*", "-")


def is_finished(line: str) -> bool:
    """True if a line ends in ``.``, ``?``, ``!`` or ``"``: the only rule of C4 that Dolma applies."""
    return line.rstrip().endswith(_TERMINAL_MARKS)


def measure(text: str) -> dict[str, float]:
    """Return the metrics that Dolma's rules use, under Gopher's names. All are 0 for a text without words."""
    words, lines = text.split(), text.split("\n")
    count = max(len(words), 1)
    edges = np.concatenate([[0], np.cumsum(word_lengths(words))])
    repeated, repeated_characters = count_repeated(lines)
    return {
        "gopher_words": len(words),
        "gopher_mean_word_length": float(median(map(len, words))) if words else 0.0,
        "gopher_symbols_per_word": sum(any(symbol in word for symbol in _SYMBOLS) for word in words) / count,
        "gopher_alphabetic_words": sum(any(map(str.isalpha, word)) for word in words) / count,
        "gopher_stop_words": sum(map(STOP_WORDS.__contains__, words)),
        "gopher_bullet_lines": sum(line.startswith(_BULLETS) for line in lines) / len(lines),
        "gopher_ellipsis_lines": sum(line.endswith("…") for line in lines) / len(lines),
        "gopher_duplicate_lines": repeated / len(lines),
        "gopher_duplicate_line_characters": repeated_characters / max(int(edges[-1]), 1),
        **dict(_ngram_metrics(words, edges)),
    }


def _ngram_metrics(words: list[str], edges: Positions) -> Iterator[tuple[str, float]]:
    for ngrams in repeated_ngrams(exact_ids(words), edges):
        n = ngrams.n
        sizes = edges[n:] - edges[:-n]
        if n not in TOP_ORDERS:
            occurrences = max(int(sizes.sum()), 1)
            yield f"gopher_duplicate_{n}_grams", int(ngrams.sizes.sum()) / occurrences
        elif len(ngrams.starts):
            best = ngrams.counts.argmax()  # the first of the most frequent ones
            most = int(ngrams.sizes[best] * ngrams.counts[best])
            yield f"gopher_top_{n}_gram", min(most / max(int(edges[-1]), 1), 1.0)  # occurrences may overlap
        else:
            first = int(sizes[0]) if len(sizes) else 0
            yield f"gopher_top_{n}_gram", first / max(int(edges[-1]), 1)

"""Gopher's measures as Dolma's tagger ``gopher_v1`` takes them (Soldaini et al. 2024, arXiv:2402.00159).

Unlike datatrove's, which ``gopher.py`` follows: words are what white space separates, punctuation and all;
their length is the median; stop words are counted every time they occur; a hash sign and an ellipsis count
alike, once per word; bullets are ``*`` and ``-`` and must be the line's first character; only ``…`` is an
ellipsis at a line's end; lines are what stands between newlines, empty ones too; of what is repeated every
copy counts; and characters are those of words, without white space.
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

_FINISHED = (".", "?", "!", '"')
_SYMBOLS = ("#", "…")
_BULLETS = ("*", "-")


def finished_lines(text: str) -> str:
    """The lines that end in ``.``, ``?``, ``!`` or ``"``: of C4's rules the only one that Dolma applies."""
    return "\n".join(line for line in text.split("\n") if line.rstrip().endswith(_FINISHED))


def measure(text: str) -> dict[str, float]:
    """The measures that Dolma's rules ask for, by Gopher's names. Of a text without words every one is 0."""
    words, lines = text.split(), text.split("\n")
    count = max(len(words), 1)
    edges = np.concatenate([[0], np.cumsum(word_lengths(words))])
    copies, copied_characters = count_repeated(lines)
    return {
        "gopher_words": len(words),
        "gopher_mean_word_length": float(median(map(len, words))) if words else 0.0,
        "gopher_symbols_per_word": sum(any(s in word for s in _SYMBOLS) for word in words) / count,
        "gopher_alphabetic_words": sum(any(map(str.isalpha, word)) for word in words) / count,
        "gopher_stop_words": sum(map(STOP_WORDS.__contains__, words)),
        "gopher_bullet_lines": sum(line.startswith(_BULLETS) for line in lines) / len(lines),
        "gopher_ellipsis_lines": sum(line.endswith("…") for line in lines) / len(lines),
        "gopher_duplicate_lines": copies / len(lines),
        "gopher_duplicate_line_characters": copied_characters / max(int(edges[-1]), 1),
        **dict(_ngrams(words, edges)),
    }


def _ngrams(words: list[str], edges: Positions) -> Iterator[tuple[str, float]]:
    for ngrams in repeated_ngrams(exact_ids(words), edges):
        n = ngrams.n
        sizes = edges[n:] - edges[:-n]
        if n not in TOP_ORDERS:
            occurrences = max(int(sizes.sum()), 1)
            yield f"gopher_duplicate_{n}_grams", int(ngrams.sizes.sum()) / occurrences
        elif len(ngrams.places):
            best = ngrams.counts.argmax()  # the first of those that occur equally often
            most = int(ngrams.sizes[best] * ngrams.counts[best])
            yield f"gopher_top_{n}_gram", most / max(int(edges[-1]), 1)
        else:
            first = int(sizes[0]) if len(sizes) else 0
            yield f"gopher_top_{n}_gram", first / max(int(edges[-1]), 1)

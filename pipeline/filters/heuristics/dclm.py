"""Gopher's measures as DCLM's mappers take them (Li et al. 2024, arXiv:2406.11794; content_filters.py there).

Unlike datatrove's, which ``gopher.py`` follows: word length and shares are of what white space separates;
stop words are counted every time they occur, in capitals too; hash signs and ellipses count together; lines
and paragraphs are stripped and blank ones left out; of what is repeated every copy counts, n-grams as the
words that they cover; and characters are those of lines, paragraphs or words, without what separates them.
Words of n-grams are those of :mod:`pipeline.analysis`, where DCLM takes Unicode's word boundaries.
"""

from collections.abc import Iterator, Sequence

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


def measure(analysis: Analysis) -> dict[str, float]:
    """The measures that DCLM's rules ask for, by Gopher's names. Of a text without words every one is 0."""
    text = analysis.text
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
        **_copies("line", lines),
        **_copies("paragraph", _stripped(text.split("\n\n"))),
        **dict(_ngrams(analysis)),
    }


def _stripped(pieces: Sequence[str]) -> list[str]:
    return [inked for piece in pieces if (inked := piece.strip())]


def _copies(kind: str, pieces: list[str]) -> dict[str, float]:
    copies, characters = count_repeated(pieces)
    return {
        f"gopher_duplicate_{kind}s": copies / max(len(pieces), 1),
        f"gopher_duplicate_{kind}_characters": characters / max(sum(map(len, pieces)), 1),
    }


def _ngrams(analysis: Analysis) -> Iterator[tuple[str, float]]:
    text, spans = analysis.text, analysis.tokens.filter(analysis.is_word)
    words = [text[start:end] for start, end in zip(spans.starts.tolist(), spans.ends.tolist(), strict=True)]
    edges = np.concatenate([[0], np.cumsum(word_lengths(words))])
    for ngrams in repeated_ngrams(exact_ids(words), edges):
        if ngrams.n in TOP_ORDERS:
            most = ngrams.counts == ngrams.counts.max(initial=0)
            size = int((ngrams.sizes[most] * ngrams.counts[most]).max(initial=0))
            yield f"gopher_top_{ngrams.n}_gram", size / max(int(edges[-1]), 1)
        else:
            covered = int(np.diff(edges)[_covered(ngrams, len(words))].sum())
            yield f"gopher_duplicate_{ngrams.n}_grams", covered / max(int(edges[-1]), 1)


def _covered(ngrams: Ngrams, words: int) -> Positions:
    """The words that lie in some of the n-grams."""
    opened = np.zeros(words + 1, np.int64)
    np.add.at(opened, ngrams.places, 1)
    np.add.at(opened, ngrams.places + ngrams.n, -1)
    return np.flatnonzero(np.cumsum(opened)[:-1])

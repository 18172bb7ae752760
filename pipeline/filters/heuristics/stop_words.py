"""Stop words of many languages. Text with very few of them is not prose, or in another language."""

from functools import cache

from core.resources import read_toml
from pipeline.analysis import Hashes, analyse, ngram_hashes


def count_distinct(words: Hashes, language: str) -> dict[str, float]:
    """Count the distinct stop words of a language among the words of a text. No metric if there is no list.

    ``words``: :attr:`~pipeline.analysis.Analysis.word_hashes`.
    """
    found = [
        len(hashes.intersection(ngram_hashes(words, length).tolist()))
        for length, hashes in _by_length(language).items()
    ]
    return {"language_stop_words": sum(found)} if found else {}


@cache
def _by_length(language: str) -> dict[int, frozenset[int]]:
    """Return the hashes of a language's stop words by their length in words of :func:`analyse`."""
    analysis = analyse("\n".join(_lists().get(language, "").split()))
    firsts, pasts = (
        analysis.words.starts.searchsorted(edge) for edge in (analysis.lines.starts, analysis.lines.ends)
    )
    by_length: dict[int, set[int]] = {}
    for first, past in zip(firsts.tolist(), pasts.tolist(), strict=True):
        found = ngram_hashes(analysis.word_hashes[first:past], past - first)
        by_length.setdefault(past - first, set()).update(found.tolist())
    return {length: frozenset(hashes) for length, hashes in by_length.items() if length}


@cache
def _lists() -> dict[str, str]:
    return read_toml("pipeline.filters.heuristics", "stop_words.toml")

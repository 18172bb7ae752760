"""Weights of single words in the toxicity score: ``data/word_weights.txt``.

Weights are integers in log-odds, rounded from linear models over words (among them alt-profanity-check);
words near zero are left out. Their sum over a passage is added to the classifier's output. The file is
written by ``python -m pipeline.training.toxicity weights``.
"""

from collections.abc import Mapping, Sequence, Set
from functools import cache

from core.resources import read_text
from pipeline.filters.toxicity import lexicon

HEAVY = 8
"""Weight from which a word that is not listed may offend. Lower weights are noisy."""


class WordWeights:
    """Weights by language and word."""

    def __init__(self, by_language: Mapping[str, Mapping[str, int]]) -> None:
        self._by_language = by_language
        self._fallback = {
            word: weight
            for code, weights in by_language.items()
            for word, weight in weights.items()
            if not lexicon.load().is_common_in_other_language(word, code)
        }
        """Used for texts of other or unknown languages."""
        self._heavy = {
            code: frozenset(word for word, weight in weights.items() if weight >= HEAVY)
            for code, weights in {**by_language, "": self._fallback}.items()
        }

    def total(self, words: Sequence[str], language: str) -> int:
        """Return the sum of the words' weights in a text of ``language`` (``""`` if unknown)."""
        weights = self._by_language.get(language, self._fallback)
        return sum(map(weights.__getitem__, filter(weights.__contains__, words)))

    def heavy_words(self, language: str) -> Set[str]:
        """Return the words that weigh :data:`HEAVY` or more in texts of ``language``."""
        return self._heavy.get(language, self._heavy[""])

    def without(self, language: str) -> "WordWeights":
        """Return the weights of all other languages."""
        return WordWeights({code: weights for code, weights in self._by_language.items() if code != language})


@cache
def load() -> WordWeights:
    """Return the shipped weights, read once per process.

    Each line has a language code, a weight, a colon and words; ``#`` starts a comment line.
    """
    by_language: dict[str, dict[str, int]] = {}
    for line in read_text("pipeline.filters.toxicity", "data/word_weights.txt").splitlines():
        if not line.startswith("#"):
            key, _, words = line.partition(":")
            code, weight = key.split()
            by_language.setdefault(code, {}).update(dict.fromkeys(words.split(), int(weight)))
    return WordWeights(by_language)

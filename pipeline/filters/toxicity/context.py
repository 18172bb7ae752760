"""Weights of the words around a word that may offend: ``data/context_weights.txt``.

The same word offends in one context and not in another: "what a cock", "what is a cock in falconry?". Every
word that may offend is replaced by one placeholder, so that the weights of a context hold for any such word.
Their sum is the log-odds that a passage uses these words to offend instead of mentioning them. The file is
written by ``python -m pipeline.training.toxicity context``.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise

from core.resources import read_text
from pipeline.filters.toxicity import lexicon, word_weights

PLACEHOLDER = "*"
START, END = "<", ">"
"""Boundaries of a passage in pairs and triples of words."""
WEIGHTS_PER_UNIT = 10
"""Weights are stored as integers, in tenths of log-odds."""

_LATIN_WORD = r"(?:[0-9a-zß-öø-ÿœ]+|\*)"
_LATIN = re.compile(rf"(?:{_LATIN_WORD}(?: {_LATIN_WORD})*+)?")
"""Generalized words in Latin script, joined by spaces."""


def generalize(words: Sequence[str], language: str) -> list[str]:
    """Replace the words that may offend in texts of a language by :data:`PLACEHOLDER`."""
    listed, heavy = lexicon.load().offensive_words(language), word_weights.load().heavy_words(language)
    return [PLACEHOLDER if word in listed or word in heavy else word for word in words]


def features(words: Sequence[str]) -> list[str]:
    """Return the distinct features of generalized words.

    They are words, pairs of neighbouring words with the boundaries, and triples with a placeholder.
    """
    bounded = [START, *words, END]
    triples = zip(bounded, bounded[1:], bounded[2:], strict=False)
    found = dict.fromkeys(word for word in words if word != PLACEHOLDER)
    found |= dict.fromkeys(map("_".join, pairwise(bounded)))
    found |= dict.fromkeys("_".join(triple) for triple in triples if PLACEHOLDER in triple)
    return list(found)


class ContextWeights:
    """Weights by feature, and the log-odds of a passage without known features."""

    def __init__(self, intercept: float, weights: Mapping[str, float]) -> None:
        self._intercept = intercept
        self._weights = weights

    def log_odds(self, words: Sequence[str], language: str) -> float:
        """Return the log-odds that a passage offends.

        They are 0 in other scripts than Latin, of which the weights know nothing, and at most 0 without a
        word that may offend: such a context is no evidence against a text.
        """
        generalized = generalize(words, language)
        if not _LATIN.fullmatch(" ".join(generalized)):
            return 0.0
        found = map(self._weights.get, features(generalized))
        total = self._intercept + sum(weight for weight in found if weight is not None)
        return total if PLACEHOLDER in generalized else min(total, 0.0)


@cache
def load() -> ContextWeights:
    """Return the shipped weights, read once per process.

    Each line has a weight, a colon and features; ``#`` starts a comment line. The first line without features
    is the intercept.
    """
    text = read_text("pipeline.filters.toxicity", "data/context_weights.txt")
    intercept, *rows = (line.split(":", 1) for line in text.splitlines() if not line.startswith("#"))
    weights = {feature: int(weight) / WEIGHTS_PER_UNIT for weight, found in rows for feature in found.split()}
    return ContextWeights(int(intercept[0]) / WEIGHTS_PER_UNIT, weights)

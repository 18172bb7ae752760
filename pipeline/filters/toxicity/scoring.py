"""Score of insult, obscenity and hatred in a text, by the shipped classifier; see ``models/toxicity.md``."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np

from core.errors import InputError
from pipeline.filters.classifier.model import Classifier, prepare, split_words
from pipeline.filters.toxicity import calibration, context, lexicon, names, word_weights
from pipeline.filters.toxicity.calibration import Calibration, Evidence
from pipeline.filters.toxicity.categories import Category
from pipeline.filters.toxicity.context import ContextWeights
from pipeline.filters.toxicity.deobfuscate import deobfuscate_together
from pipeline.filters.toxicity.word_weights import WordWeights
from pipeline.filters.windows import sample_windows

MODEL = "models/toxicity.ftz"
PASSAGE_WORDS = 50
"""Words that are scored together: about as many as the posts that the classifier was trained on have."""
UNITS_PER_LOGIT = 3
"""Units of word weights that count as one of the classifier's log-odds, as in the calibration."""
WINDOWS, WINDOW_LENGTH = 16, 400
"""Number and length (in characters) of the windows that represent a long text."""
_BY_GRAVITY = (Category.SLUR, Category.INSULT, Category.OBSCENE, Category.HOSTILITY)
SATURATION_SHARE = 0.1
"""Share of user-listed words at which a text scores 1."""


class Passage(NamedTuple):
    """Up to :data:`PASSAGE_WORDS` words of a text."""

    words: list[str]
    language: str
    tokens: list[str]
    """Input to the shipped classifier: the distinct words, then the lexicon's tokens."""
    weight: int
    """Sum of the word weights."""


def passages(text: str, weights: WordWeights | None = None) -> Iterator[Passage]:
    """Yield the passages of a text. ``weights`` replaces the shipped word weights."""
    return _passages(_words([text])[0], weights)


def _passages(words: list[str], weights: WordWeights | None = None) -> Iterator[Passage]:
    listed = lexicon.load()
    language = listed.guess_language(words)
    offensive, unspaced = listed.offensive_words(language), lexicon.has_unspaced(words)
    for start in range(0, len(words), PASSAGE_WORDS):
        passage = words[start : start + PASSAGE_WORDS]
        yield _passage(passage, language, unspaced or not offensive.isdisjoint(passage), weights)


def _passage(words: list[str], language: str, may_offend: bool, weights: WordWeights | None) -> Passage:
    tokens = list(dict.fromkeys(words))
    weight = (weights or word_weights.load()).total(tokens, language)
    if may_offend:
        tokens.extend(lexicon.load().features(words, language))
    return Passage(words, language, tokens, weight)


def _words(texts: Sequence[str]) -> list[list[str]]:
    """Return the words of each text."""
    windows = [sample_windows(text, WINDOWS, WINDOW_LENGTH) for text in texts]
    return list(map(split_words, deobfuscate_together(windows)))


def evidence(
    model: Classifier,
    text: str,
    weights: WordWeights | None = None,
    contexts: ContextWeights | None = None,
) -> Evidence:
    """Return the evidence in each passage of a text; passages of a single letter are left out.

    In suspicious passages (a twentieth of clean texts), names are left out and the context is evaluated.
    ``weights`` and ``contexts`` replace the shipped ones.
    """
    return _evidence(model, text, _words([text])[0], weights, contexts or context.load())


def _evidence(
    model: Classifier, text: str, words: list[str], weights: WordWeights | None, contexts: ContextWeights
) -> Evidence:
    rows = []
    for each in _passages(words, weights):
        if len(each.tokens) == 1 and len(each.tokens[0]) == 1:
            continue
        logit, context_log_odds = model.logit(" ".join(each.tokens)), 0.0
        if logit + each.weight / UNITS_PER_LOGIT > 0:
            rest = names.remove(each.words, sample_windows(text, WINDOWS, WINDOW_LENGTH))
            if len(rest) < len(each.words):
                each = _passage(rest, each.language, True, weights)
                logit = model.logit(" ".join(each.tokens))
            context_log_odds = contexts.log_odds(rest, each.language)
        rows.append((logit, each.weight, context_log_odds))
    return np.array(rows, np.float64).reshape(-1, 3)


class Scorer:
    """Toxicity scores by a model, raised by listed words.

    ``calibration`` is for a model that takes the input of :func:`passages`; without one, the model is a plain
    classifier of text.
    """

    def __init__(
        self, model: Classifier, calibration: Calibration | None, listed_words: frozenset[str] = frozenset()
    ) -> None:
        self._model = model
        self._calibration = calibration
        self._listed_words = listed_words

    def score(self, text: str) -> float:
        """Return how toxic the text is, 0 to 1. ``models/toxicity.md`` defines the shipped model's score."""
        return self.scores([text])[0]

    def scores(self, texts: Sequence[str]) -> list[float]:
        """Return the score of each text."""
        if not texts:
            return []
        words = _words(texts)
        if self._calibration:
            found = [
                _evidence(self._model, text, own, None, context.load())
                for text, own in zip(texts, words, strict=True)
            ]
            scores = self._calibration.probabilities(found)
        else:
            scores = list(map(self._model.score, texts))
        if not self._listed_words:
            return scores
        shares = map(self._share_listed, words)
        return [max(score, share) for score, share in zip(scores, shares, strict=True)]

    def _share_listed(self, words: Sequence[str]) -> float:
        """Return the share of user-listed words, relative to that at which a text scores 1."""
        distinct = set(words)
        share = len(self._listed_words & distinct) / max(len(distinct), 1)
        return min(1.0, share / SATURATION_SHARE)


@cache
def load(model: str = "", words: str = "") -> Scorer:
    """Return a scorer, created once per process.

    ``model`` is the local path of another fastText model; empty for the shipped one. ``words`` is the local
    path of a UTF-8 file with one word per line, or of a folder of such files. Raises :class:`InputError` for
    a path that cannot be read or is not a model.
    """
    listed_words = _read_words(Path(words)) if words else frozenset()
    if model:
        return Scorer(Classifier(Path(model)), None, listed_words)
    with ExitStack() as stack:
        path = stack.enter_context(
            resources.as_file(resources.files("pipeline.filters.toxicity").joinpath(MODEL))
        )
        return Scorer(Classifier(path), calibration.load(), listed_words)


def score(text: str) -> float:
    """Return how toxic the text is, 0 to 1, by the shipped model."""
    return load().score(text)


def category(text: str) -> str:
    """Return a short name for what makes a text toxic, from the listed words in it."""
    words, lists = _words([text])[0], lexicon.load()
    found = lists.categories(words, lists.guess_language(words))
    if {Category.HOSTILITY, Category.GROUP} <= found:
        return "hatred"
    return next((each.value for each in _BY_GRAVITY if each in found), "unlisted words")


def _read_words(path: Path) -> frozenset[str]:
    files = sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]
    try:
        lines = [prepare(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); name a UTF-8 file with one word per line, or a folder of such"
        ) from None
    return frozenset(line for line in lines if line and " " not in line)

"""Insult, obscenity and hatred in a text, by the classifier that is shipped; see models/toxicity.md."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from pipeline.filters.classifier.model import Classifier, prepare, split
from pipeline.filters.toxicity import lexicon, word_weights
from pipeline.filters.toxicity.deobfuscate import undisguise
from pipeline.filters.toxicity.word_weights import Grades
from pipeline.filters.windows import spread

MODEL = "models/toxicity.ftz"
PASSAGE = 50
"""Words that are judged together, as many as a post has, of which the classifier learned."""
SLOPE, GRADE, SHIFT = 0.222, 0.074, -0.492
"""From log-odds of the classifier, and grades, to calibrated log-odds (Platt 1999); benchmarks/toxicity.py
finds them."""
STRETCHES, STRETCH = 16, 400
"""Stretches by which a longer text is known, and characters of each."""
FULL_SHARE = 0.1
"""The share of words of one's own lists at which a text scores 1."""


def passages(text: str, graded: Grades | None = None) -> Iterator[tuple[list[str], int]]:
    """Of every passage what the shipped classifier sees, its words, each once, and signs; and its grade.

    Grades are those that are shipped, unless others are given.
    """
    words, lists, graded = _words(text), lexicon.load(), graded or word_weights.load()
    language = lists.language(words)
    signs_of = lists.of if lists.may_tell(words, language) else lambda *_: ()
    for start in range(0, len(words), PASSAGE):
        passage = words[start : start + PASSAGE]
        seen = list(dict.fromkeys(passage))
        grade = graded.of(seen, language)
        seen.extend(signs_of(passage, language))
        yield seen, grade


def _words(text: str) -> list[str]:
    return split(undisguise(spread(text, STRETCHES, STRETCH)))


def _tells(passage: list[str]) -> bool:
    """A letter by itself is no word."""
    return len(passage) > 1 or len(passage[0]) > 1


class Scorer:
    """A model, and word lists on top: the score is the model's, or higher where many words are listed."""

    def __init__(self, model: Classifier, shipped: bool, words: frozenset[str] = frozenset()) -> None:
        self._model = model
        self._shipped = shipped
        self._listed = words

    def score(self, text: str) -> float:
        """How toxic the text is, 0 to 1; see models/toxicity.md for what that means of the shipped model."""
        score = mean(evidence(self._model, text)) if self._shipped else self._model.score(text)
        if not self._listed:
            return score
        words = set(_words(text))
        return max(score, min(1.0, len(self._listed & words) / max(len(words), 1) / FULL_SHARE))

    def scores(self, texts: Sequence[str]) -> list[float]:
        """The score of each text."""
        return [self.score(text) for text in texts]


def evidence(model: Classifier, text: str, graded: Grades | None = None) -> NDArray[np.float64]:
    """Of every passage, a row: its log-odds by the model, and its grade. None of a text without words."""
    told = [(seen, grade) for seen, grade in passages(text, graded) if _tells(seen)]
    return np.array([(model.logit(" ".join(seen)), grade) for seen, grade in told]).reshape(-1, 2)


def mean(rows: NDArray[np.float64]) -> float:
    """The score of a text by the evidence in its passages."""
    if not len(rows):
        return 0.0
    log_odds = SLOPE * rows[:, 0] + GRADE * rows[:, 1] + SHIFT
    return float(np.mean(1 / (1 + np.exp(-log_odds))))


@cache
def load(model: str = "", words: str = "") -> Scorer:
    """A scorer, made once per process: of the shipped model, or that at a path, and of words at a path.

    ``words`` is a UTF-8 file of a word a line, or a folder of such. Raises :class:`InputError` for a path
    that cannot be read and a model that is none.
    """
    listed = _listed(Path(words)) if words else frozenset()
    if model:
        return Scorer(Classifier(Path(model)), shipped=False, words=listed)
    with ExitStack() as stack:
        path = stack.enter_context(
            resources.as_file(resources.files("pipeline.filters.toxicity").joinpath(MODEL))
        )
        return Scorer(Classifier(path), shipped=True, words=listed)


def score(text: str) -> float:
    """How toxic the text is, 0 to 1, by the shipped model alone."""
    return load().score(text)


def _listed(path: Path) -> frozenset[str]:
    files = sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]
    try:
        lines = [prepare(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); name a UTF-8 file of a word a line, or a folder of such"
        ) from None
    return frozenset(line for line in lines if line and " " not in line)

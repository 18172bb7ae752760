"""Insult, obscenity and hatred in a text, by the classifier that is shipped; see models/toxicity.md."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from importlib import resources
from pathlib import Path

from pipeline.errors import InputError
from pipeline.filters.classifier import Classifier, prepare

MODEL = "models/toxicity.ftz"
FULL_SHARE = 0.1
"""The share of words of one's own lists at which a text scores 1."""


class Scorer:
    """A model, and word lists on top: the score is the model's, or higher where many words are listed."""

    def __init__(self, classifier: Classifier, words: frozenset[str] = frozenset()) -> None:
        self._classifier = classifier
        self._words = words

    def score(self, text: str) -> float:
        """How toxic the text is as a whole, 0 to 1."""
        score = self._classifier.score(text)
        if not self._words or not (words := prepare(text).split()):
            return score
        return max(score, min(1.0, len(self._words.intersection(words)) / len(words) / FULL_SHARE))

    def scores(self, texts: Sequence[str]) -> list[float]:
        """The score of each text."""
        return [self.score(text) for text in texts]


@cache
def load(model: str = "", words: str = "") -> Scorer:
    """A scorer, made once per process: of the shipped model, or that at a path, and of words at a path.

    ``words`` is a UTF-8 file of a word a line, or a folder of such. Raises :class:`InputError` for a path
    that cannot be read and a model that is none.
    """
    with ExitStack() as stack:
        shipped = resources.files("pipeline.filters").joinpath(MODEL)
        path = Path(model) if model else stack.enter_context(resources.as_file(shipped))
        return Scorer(Classifier(path), _listed(Path(words)) if words else frozenset())


def score(text: str) -> float:
    """How toxic the text is as a whole, 0 to 1, by the shipped model alone."""
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

"""A binary fastText classifier of text (Joulin et al. 2016): input preparation and scoring."""

import html
import math
import re
from pathlib import Path

import fasttext

from core.errors import InputError

POSITIVE, NEGATIVE = "__label__positive", "__label__negative"

MAX_CHARACTERS = 20_000
"""Characters of a text that are used, from its beginning."""
QUALITY_CHARACTERS = 1_000
"""Characters of a text that the quality classifier is trained on and scores, from its beginning. A fixed
length keeps the score independent of the length: on whole texts, long pages score higher than short ones that
start equally well."""

_FASTTEXT_EPSILON = 1e-5
"""Added by fastText to every probability, to avoid the logarithm of 0."""
_MIN_PROBABILITY = 1e-12

_ADDRESS_OR_MENTION = re.compile(r"https?://\S+|@\w+")
_ASCII_BETWEEN_WORDS = bytes(code for code in range(128) if not chr(code).isalnum())
_TO_SPACES = bytes.maketrans(_ASCII_BETWEEN_WORDS, b" " * len(_ASCII_BETWEEN_WORDS))
_SYMBOLS = re.compile(rb"\xc2[\x80-\xbf]|\xe2\x80[\x80-\xbf]|\xe3\x80[\x80-\xbf]")
"""UTF-8 of Latin-1, general and East Asian punctuation (U+0080 to 00BF, 2000 to 203F, 3000 to 303F)."""
_NEGATIVE_LABEL = re.compile(
    r"__label__(?:(?:non?|not)(?:[-_].*|toxic|hate.*|nsfw)?|neutral|neg(?:ative)?|cc|0)"
)


def prepare(text: str) -> str:
    """Return the classifier's input: one line of the distinct lower-case words, in order of first occurrence.

    Addresses, mentions, entities and punctuation are removed.
    """
    return " ".join(dict.fromkeys(split_words(text)))


def split_words(text: str) -> list[str]:
    """Split a text into lower-case words as :func:`prepare` does, repetitions included."""
    text = text[:MAX_CHARACTERS]
    text = html.unescape(text) if "&" in text else text
    if "@" in text or "://" in text:
        text = _ADDRESS_OR_MENTION.sub(" ", text)
    data = text.lower().encode("utf-8", "ignore").translate(_TO_SPACES)
    return _SYMBOLS.sub(b" ", data).decode().split()


class Classifier:
    """A trained fastText model with two labels, one of which is a negation such as ``non_toxic`` or ``0``.

    Raises :class:`InputError` for a file that is not a fastText model or has other labels.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._model = fasttext.load_model(str(path))
        except ValueError as error:
            raise InputError(f"{path}: not a fastText model ({error}); name a .bin or .ftz file") from None
        labels: list[str] = self._model.labels
        positive = [label for label in labels if not _NEGATIVE_LABEL.fullmatch(label)]
        if len(labels) != 2 or len(positive) != 1:
            raise InputError(
                f"{path}: has the labels {', '.join(labels)}, but must have two, one of them a negation "
                "such as __label__negative or __label__0; name another model"
            )
        self._positive = positive[0]

    def score(self, text: str) -> float:
        """Return the probability that the text is positive; 0 for text without words."""
        line = prepare(text)
        return 1 / (1 + math.exp(-self.logit(line))) if line else 0.0

    def logit(self, line: str) -> float:
        """Return the log-odds that a prepared line is positive."""
        positive = others = 0.0
        for score, label in self._model.f.predict(line + "\n", 2, 0.0, "strict"):
            if label == self._positive:
                positive = score
            else:
                others += score
        return math.log(_probability(positive) / _probability(others))


def _probability(score: float) -> float:
    return max(score - _FASTTEXT_EPSILON, _MIN_PROBABILITY)

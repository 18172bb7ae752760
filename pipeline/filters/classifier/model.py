"""A binary fastText classifier (Joulin et al. 2016): how text is prepared for it and how it is asked."""

import html
import math
import re
from pathlib import Path

import fasttext

from core.errors import InputError

POSITIVE, NEGATIVE = "__label__positive", "__label__negative"

LONGEST = 20_000
"""Characters of a text that are looked at, from its beginning."""
PASSAGE = 1_000
"""Characters by which quality is learned and judged: the beginning, so that length is no sign of it. Judged
as a whole, a long page scores higher than a short one that begins as well."""
ADDED, LEAST = 1e-5, 1e-12

_ADDRESS_OR_MENTION = re.compile(r"https?://\S+|@\w+")
_ASCII_BETWEEN_WORDS = bytes(code for code in range(128) if not chr(code).isalnum())
_TO_SPACES = bytes.maketrans(_ASCII_BETWEEN_WORDS, b" " * len(_ASCII_BETWEEN_WORDS))
_SYMBOLS = re.compile(rb"\xc2[\x80-\xbf]|\xe2\x80[\x80-\xbf]|\xe3\x80[\x80-\xbf]")
"""In UTF-8: Latin-1's, general and East Asian punctuation (U+0080 to 00BF, 2000 to 203F, 3000 to 303F)."""
_NEGATION = re.compile(r"__label__(?:(?:non?|not)(?:[-_].*|toxic|hate.*|nsfw)?|neutral|neg(?:ative)?|cc|0)")


def prepare(text: str) -> str:
    """One line of lower-cased words, each once; without addresses, mentions, entities and punctuation."""
    return " ".join(dict.fromkeys(split(text)))


def split(text: str) -> list[str]:
    """The words of a text as :func:`prepare` has them, in order and as often as they occur."""
    text = text[:LONGEST]
    text = html.unescape(text) if "&" in text else text
    if "@" in text or "://" in text:
        text = _ADDRESS_OR_MENTION.sub(" ", text)
    data = text.lower().encode("utf-8", "ignore").translate(_TO_SPACES)
    return _SYMBOLS.sub(b" ", data).decode().split()


class Classifier:
    """A trained model of two labels; the positive one is no negation, such as ``non_toxic`` or ``0`` are.

    Raises :class:`InputError` for a file that is no fastText model, or has not two such labels.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._model = fasttext.load_model(str(path))
        except ValueError as error:
            raise InputError(f"{path}: no fastText model ({error}); name a .bin or .ftz file") from None
        labels: list[str] = self._model.labels
        positive = [label for label in labels if not _NEGATION.fullmatch(label)]
        if len(labels) != 2 or len(positive) != 1:
            raise InputError(
                f"{path}: has the labels {', '.join(labels)}, but two are needed, one of them a negation "
                "such as __label__negative or __label__0; name another model"
            )
        self._positive = positive[0]

    def score(self, text: str) -> float:
        """How positive the model finds the text, 0 to 1; 0 for text without words."""
        line = prepare(text)
        return 1 / (1 + math.exp(-self.logit(line))) if line else 0.0

    def logit(self, line: str) -> float:
        """The log-odds of a prepared line being positive."""
        scores = {label: score for score, label in self._model.f.predict(line + "\n", 2, 0.0, "strict")}
        positive = scores.pop(self._positive, 0.0)
        return math.log(_share(positive) / _share(sum(scores.values())))


def _share(score: float) -> float:
    """fastText adds a little to every share, lest it take the logarithm of 0."""
    return max(score - ADDED, LEAST)

"""A binary fastText classifier (Joulin et al. 2016): how text is prepared for it and how it is asked."""

import html
import math
import re
from collections.abc import Sequence
from pathlib import Path

import fasttext
import numpy as np

from pipeline.errors import InputError

POSITIVE, NEGATIVE = "__label__positive", "__label__negative"

LONGEST = 20_000
"""Characters of a text that are looked at, from its beginning."""
PASSAGE = 1_000
"""Characters by which quality is learned and judged: the beginning, so that length is no sign of it. Judged
as a whole, a long page scores higher than a short one that begins as well."""
MOST_WORDS = 500_000
"""Words that are remembered; then all are forgotten."""

_ADDRESS_OR_MENTION = re.compile(r"https?://\S+|@\w+")
_ASCII_BETWEEN_WORDS = bytes(code for code in range(128) if not chr(code).isalnum())
_TO_SPACES = bytes.maketrans(_ASCII_BETWEEN_WORDS, b" " * len(_ASCII_BETWEEN_WORDS))
_SYMBOLS = re.compile(rb"\xc2[\x80-\xbf]|\xe2\x80[\x80-\xbf]|\xe3\x80[\x80-\xbf]")
"""In UTF-8: Latin-1's, general and East Asian punctuation (U+0080 to 00BF, 2000 to 203F, 3000 to 303F)."""
_NEGATION = re.compile(r"__label__(?:(?:non?|not)(?:[-_].*|toxic|hate.*|nsfw)?|neutral|neg(?:ative)?|cc|0)")
_END = "</s>"
"""What fastText appends to each line; the first row of its matrix."""


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

    Without word n-grams such a model is linear: the score is the logistic function of the mean of numbers
    that its features have, each by itself. So a word is looked up in fastText when it is first met, part by
    part; from then on it costs one look-up in a dictionary.

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
        self._linear = self._model.f.getArgs().wordNgrams == 1
        first, second = np.array(self._model.f.getOutputMatrix())
        self._direction = first - second if labels[0] == self._positive else second - first
        self._features: dict[int, float] = {}
        self._words: dict[str, complex] = {}

    def score(self, text: str) -> float:
        """How positive the model finds the text, 0 to 1; 0 for text without words."""
        line = prepare(text)
        if not line:
            return 0.0
        if self._linear:
            return 1 / (1 + math.exp(-self.logit(line.split())))
        for score, label in self._model.f.predict(line + "\n", 2, 0.0, "strict"):
            if label == self._positive:
                return float(min(score, 1.0))
        return 0.0

    def logit(self, words: Sequence[str]) -> float:
        """The log-odds of prepared words being positive, by a model without word n-grams."""
        words = [_END, *words]
        try:
            total = sum(map(self._words.__getitem__, words))
        except KeyError:
            self._look_up(words)
            return self.logit(words[1:])
        return total.real / total.imag

    def _look_up(self, words: Sequence[str]) -> None:
        """Remember of each word the sum of what its features weigh, and as imaginary part how many they are.

        So both are summed at once.
        """
        if len(self._words) >= MOST_WORDS:
            self._words.clear()
        for word in words:
            rows = [0] if word == _END else self._model.f.getSubwords(word, "strict")[1]
            self._words[word] = complex(sum(map(self._feature, rows)), len(rows))

    def _feature(self, row: int) -> float:
        if row not in self._features:
            self._features[row] = float(self._model.get_input_vector(row) @ self._direction)
        return self._features[row]

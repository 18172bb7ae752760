"""A binary fastText classifier (Joulin et al. 2016): how text is prepared for it and how it is asked."""

import html
import re
from pathlib import Path

import fasttext

POSITIVE, NEGATIVE = "__label__positive", "__label__negative"

LONGEST = 20_000
"""Characters of a text that are looked at, from its beginning."""

_ADDRESS_OR_MENTION = re.compile(r"https?://\S+|@\w+")
_ASCII_BETWEEN_WORDS = bytes(code for code in range(128) if not chr(code).isalnum())
_TO_SPACES = bytes.maketrans(_ASCII_BETWEEN_WORDS, b" " * len(_ASCII_BETWEEN_WORDS))
_SYMBOLS = re.compile(rb"\xc2[\x80-\xbf]|\xe2\x80[\x80-\xbf]|\xe3\x80[\x80-\xbf]")
"""In UTF-8: Latin-1's, general and East Asian punctuation (U+0080 to 00BF, 2000 to 203F, 3000 to 303F)."""


def prepare(text: str) -> str:
    """One line of lower-cased words, each once; without addresses, mentions, entities and punctuation."""
    text = text[:LONGEST]
    text = html.unescape(text) if "&" in text else text
    if "@" in text or "://" in text:
        text = _ADDRESS_OR_MENTION.sub(" ", text)
    data = text.lower().encode("utf-8", "ignore").translate(_TO_SPACES)
    return " ".join(dict.fromkeys(_SYMBOLS.sub(b" ", data).decode().split()))


class Classifier:
    """A trained model."""

    def __init__(self, path: Path) -> None:
        self._model = fasttext.load_model(str(path))

    def score(self, text: str) -> float:
        """How positive the model finds the text, 0 to 1; 0 for text without words."""
        line = prepare(text)
        if not line:
            return 0.0
        for score, label in self._model.f.predict(line + "\n", 2, 0.0, "strict"):
            if label == POSITIVE:
                return float(min(score, 1.0))
        return 0.0

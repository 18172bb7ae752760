"""Toxicity limit for text that arrives in chunks."""

import re

from pipeline.filters import toxicity
from serve.safety.refusal import Refusal

MAX_SENTENCE_CHARACTERS = 400
"""Longest text that is scored at once."""

_SENTENCE_END = re.compile(r"(?<=[.!?…])(?<!\b\w\.)\s+|\n+|(?<=[。！？])")
"""White space after a full stop, except after an initial such as in *Philip K. Dick*."""


class ToxicityFilter:
    """Score text together with the sentence that it continues; block it above ``threshold`` (1: never)."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._sentence = ""
        self.refusal: Refusal | None = None
        """The reason once a sentence exceeded the threshold."""

    def push(self, text: str) -> str:
        """Return the text, or an empty string if a sentence exceeds the threshold or did so before."""
        if self.refusal:
            return ""
        if self._threshold >= 1 or not text:
            return text
        *complete, incomplete = _SENTENCE_END.split(self._sentence + text)
        self._sentence = incomplete[-MAX_SENTENCE_CHARACTERS:]
        for sentence in (*complete, incomplete):
            for start in range(0, len(sentence), MAX_SENTENCE_CHARACTERS):
                part = sentence[start : start + MAX_SENTENCE_CHARACTERS]
                if toxicity.score(part) > self._threshold:
                    self.refusal = Refusal("toxicity", toxicity.category(part))
                    return ""
        return text

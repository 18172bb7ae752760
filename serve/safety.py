"""The safety filter: the same rules as those of the training text, on what comes in and what goes out.

A list of blocked words, the toxicity classifier and the masks of personal data. Answers come in pieces, and
so each rule keeps back what it cannot judge yet: the words, as long as one may have begun; the masks, the
last word (and the digits before it). What is then let go is judged by the classifier together with the
sentence that it belongs to, so that the piece that tips the score is not sent.
"""

import re
from pathlib import Path

from core.config import ServeConfig
from core.errors import ConfigError
from pipeline.filters import pii, toxicity
from serve.words import BlockedWords, Gate

LONGEST_ITEM = 120
"""Characters that personal data kept back for masking may have."""
CONTEXT = 24
"""Characters before an item that its form may depend on, such as a label."""
LONGEST_SENTENCE = 400
"""Characters that are judged together."""

_IN_ITEM = r"\w.%+'@:()/-"
_UNFINISHED = re.compile(
    rf"[{_IN_ITEM}]*+(?:\s{{1,2}}(?:(?=[^0-9\s]*+[0-9])[{_IN_ITEM}]++|[A-Z]{{1,4}}(?![{_IN_ITEM}])|\([{_IN_ITEM}]*+))*+"
)
"""In a text read backwards: a word, and groups of digits (or of an IBAN's letters) before it.

There an item of personal data may have begun that is not complete.
"""
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|\n+|(?<=[。！？])")


class Safety:
    """The filter as it is configured. Raises :class:`ConfigError` for a list of words that is none."""

    def __init__(self, settings: ServeConfig) -> None:
        self._words = BlockedWords(_lines(settings.blocked_words) if settings.safety else ())
        self._limit = settings.toxicity if settings.safety else 1.0
        self._mask = settings.safety and settings.mask_pii
        if self._limit < 1:
            toxicity.load()

    def refuses(self, text: str) -> bool:
        """Whether a text that comes in is blocked."""
        judge = _Toxicity(self._limit)
        judge.push(text)
        return judge.blocked or self._words.found(text)

    def outlet(self) -> "Outlet":
        """The way out of one answer."""
        return Outlet(Gate(self._words), Mask() if self._mask else None, _Toxicity(self._limit))


class Outlet:
    """Lets the text of one answer out as soon as every rule is sure of it; nothing once it is blocked."""

    def __init__(self, words: Gate, mask: "Mask | None", toxicity: "_Toxicity") -> None:
        self._words = words
        self._mask = mask
        self._toxicity = toxicity

    @property
    def blocked(self) -> bool:
        """Whether the answer ends here because of what should have come next."""
        return self._words.blocked or self._toxicity.blocked

    def push(self, text: str) -> str:
        """What may go out now that ``text`` has come in."""
        return self._rest(self._words.push(text), ended=self._words.blocked)

    def flush(self) -> str:
        """The rest, when no more comes."""
        return self._rest(self._words.flush(), ended=True)

    def _rest(self, text: str, *, ended: bool) -> str:
        if self._mask:
            text = self._mask.push(text)
            text += self._mask.flush() if ended else ""
        return self._toxicity.push(text)


class Mask:
    """Replaces personal data by the tags of the training text (:mod:`pipeline.filters.pii`)."""

    def __init__(self) -> None:
        self._held = ""
        self._before = ""

    def push(self, text: str) -> str:
        """What may go out now that ``text`` has come in."""
        self._held += text
        unfinished = _UNFINISHED.match(self._held[: -LONGEST_ITEM - 1 : -1])
        return self._release(len(self._held) - (unfinished.end() if unfinished else 0))

    def flush(self) -> str:
        """The rest, when no more comes."""
        return self._release(len(self._held))

    def _release(self, end: int) -> str:
        if not end:
            return ""
        ready, self._held = self._held[:end], self._held[end:]
        masked = pii.mask(self._before + ready).text
        if not masked.startswith(self._before):  # an item longer than what is kept back
            masked = self._before + pii.mask(ready).text
        released = masked[len(self._before) :]
        self._before = masked[-CONTEXT:]
        return released


class _Toxicity:
    """Judges text together with the sentence that it continues; lets nothing more through above the limit."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._sentence = ""
        self.blocked = False

    def push(self, text: str) -> str:
        """The text, unless it makes a sentence too toxic."""
        if self.blocked:
            return ""
        if self._limit >= 1 or not text:
            return text
        *ended, running = _SENTENCE_END.split(self._sentence + text)
        self._sentence = running[-LONGEST_SENTENCE:]
        for sentence in (*ended, running):
            for start in range(0, len(sentence), LONGEST_SENTENCE):
                if toxicity.score(sentence[start : start + LONGEST_SENTENCE]) > self._limit:
                    self.blocked = True
                    return ""
        return text


def _lines(path: str) -> list[str]:
    if not path:
        return []
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"serve.blocked_words = {path}: cannot be read ({error}); name a UTF-8 file with one word a line"
        ) from None

"""The safety filter: blocked words, the toxicity classifier and masking of personal data.

Prompts and answers are judged by the rules of the training corpus. Answers arrive in chunks, so rules hold
back text that they cannot judge yet: :class:`BlockedWordFilter` the possible start of a blocked word,
:class:`PIIMasker` the last word and the digits before it. :class:`ToxicityFilter` scores the text released by
both together with its sentence, and stops the chunk that exceeds the threshold.
"""

from pathlib import Path

from core.config import ServeConfig
from core.errors import ConfigError
from pipeline.filters import toxicity
from serve.safety.blocked_words import BlockedWordFilter, BlockedWords
from serve.safety.pii_masker import PIIMasker
from serve.safety.refusal import BLOCKED_WORD, Refusal
from serve.safety.toxicity_filter import ToxicityFilter


class SafetyFilter:
    """The configured rules. Raises :class:`ConfigError` for a word list that cannot be read."""

    def __init__(self, settings: ServeConfig) -> None:
        self._words = BlockedWords(_read_lines(settings.blocked_words) if settings.safety else ())
        self._threshold = settings.toxicity if settings.safety else 1.0
        self._mask = settings.safety and settings.mask_pii
        if self._threshold < 1:
            toxicity.load()

    def refusal(self, text: str) -> Refusal | None:
        """Return the reason for which a complete text, such as a prompt, is blocked; None if it is not."""
        if self._words.found_in(text):
            return BLOCKED_WORD
        toxicity_filter = ToxicityFilter(self._threshold)
        toxicity_filter.push(text)
        return toxicity_filter.refusal

    def stream_filter(self) -> "StreamFilter":
        """Return a filter for one streamed answer."""
        return StreamFilter(
            BlockedWordFilter(self._words),
            PIIMasker() if self._mask else None,
            ToxicityFilter(self._threshold),
        )


class StreamFilter:
    """Release the text of one answer once every rule allows it; nothing more after it was blocked."""

    def __init__(self, words: BlockedWordFilter, masker: PIIMasker | None, toxicity: ToxicityFilter) -> None:
        self._words = words
        self._masker = masker
        self._toxicity = toxicity

    @property
    def refusal(self) -> Refusal | None:
        """The reason for which the answer ends here, because of the text that follows."""
        return self._toxicity.refusal or (BLOCKED_WORD if self._words.blocked else None)

    def push(self, text: str) -> str:
        """Add text; return the text that may be sent now."""
        return self._apply(self._words.push(text), ended=self._words.blocked)

    def flush(self) -> str:
        """Return the remaining text that may be sent."""
        return self._apply(self._words.flush(), ended=True)

    def _apply(self, text: str, *, ended: bool) -> str:
        """Mask personal data, then check toxicity."""
        if self._masker:
            text = self._masker.push(text)
            text += self._masker.flush() if ended else ""
        return self._toxicity.push(text)


def _read_lines(path: str) -> list[str]:
    if not path:
        return []
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"serve.blocked_words = {path}: cannot be read ({error}); name a UTF-8 file with one word a line"
        ) from None

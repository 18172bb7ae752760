"""Incremental decoding of tokens to text, and stop strings."""

from collections.abc import Sequence

from core.tokenizer import Tokenizer

CONTEXT_TOKENS = 4
"""Prompt tokens that are decoded with the first answer tokens, because they decide about a space between."""
MAX_CHARACTER_TOKENS = 8
"""Number of tokens after which an incomplete character is emitted as invalid bytes."""


class Detokenizer:
    """Decode tokens as they arrive; a character that spans several tokens is held back until it is complete.

    Only the last few tokens are decoded each time, together with those that their text may depend on.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._tokens = list(prompt[-CONTEXT_TOKENS:])
        self._num_emitted = len(self._tokens)
        """Leading tokens of ``_tokens`` whose text was returned."""

    def push(self, token: int) -> str:
        """Add a token; return the text that is complete now."""
        self._tokens.append(token)
        return self._release(MAX_CHARACTER_TOKENS)

    def flush(self) -> str:
        """Return the remaining text."""
        return self._release(0)

    def _release(self, max_pending: int) -> str:
        emitted = self._tokenizer.decode(self._tokens[: self._num_emitted])
        text = self._tokenizer.decode(self._tokens)
        if text.endswith("\ufffd") and len(self._tokens) - self._num_emitted < max_pending:
            return ""
        self._tokens = self._tokens[self._num_emitted :] or self._tokens
        self._num_emitted = len(self._tokens)
        return text[len(emitted) :]


class StopStrings:
    """Cut a streamed text off at the first complete stop string, which is removed.

    Text that may be the start of a stop string is held back.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = strings
        self._pending = ""
        self.matched = False

    def push(self, text: str) -> str:
        """Add text; return the part that cannot belong to a stop string."""
        if self.matched:
            return ""
        self._pending += text
        matches = [
            (start + len(string), start)
            for string in self._strings
            if (start := self._pending.find(string)) >= 0
        ]
        self.matched = bool(matches)
        cut = min(matches)[1] if matches else self._partial_match()
        released, self._pending = self._pending[:cut], "" if self.matched else self._pending[cut:]
        return released

    def flush(self) -> str:
        """Return the remaining text."""
        released, self._pending = self._pending, ""
        return released

    def _partial_match(self) -> int:
        """Return the position of the earliest incomplete stop string; the length of the text if none."""
        longest = max(map(len, self._strings), default=1)
        for start in range(max(0, len(self._pending) - longest + 1), len(self._pending)):
            if any(string.startswith(self._pending[start:]) for string in self._strings):
                return start
        return len(self._pending)

"""From tokens to text, piece by piece."""

from collections.abc import Sequence

from core.tokenizer import Tokenizer

BEFORE = 4
"""Tokens of the prompt that are decoded with the first ones of the answer, for the space between them."""
LONGEST_CHARACTER = 8
"""Tokens after which what is no character yet is taken for broken bytes."""


class Detokenizer:
    """The text of tokens as they come; a character spread over several is held back until it is whole.

    Only the last few tokens are decoded each time. What they mean may depend on those before.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._tokens = list(prompt[-BEFORE:])
        self._told = len(self._tokens)
        """Of the tokens held, those whose text is out."""

    def push(self, token: int) -> str:
        """The text that is certain now."""
        self._tokens.append(token)
        return self._release(LONGEST_CHARACTER)

    def flush(self) -> str:
        """The rest, when no more comes."""
        return self._release(0)

    def _release(self, patience: int) -> str:
        before = self._tokenizer.decode(self._tokens[: self._told])
        text = self._tokenizer.decode(self._tokens)
        if text.endswith("\ufffd") and len(self._tokens) - self._told < patience:
            return ""
        self._tokens = self._tokens[self._told :] or self._tokens
        self._told = len(self._tokens)
        return text[len(before) :]


class StopStrings:
    """Cuts a text off where the first of ``strings`` to be complete begins.

    Text in which one may have begun is held back.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = strings
        self._held = ""
        self.met = False

    def push(self, text: str) -> str:
        """The text that is certain now."""
        if self.met:
            return ""
        self._held += text
        found = [
            (place + len(string), place)
            for string in self._strings
            if (place := self._held.find(string)) >= 0
        ]
        self.met = bool(found)
        cut = min(found)[1] if found else self._unfinished()
        released, self._held = self._held[:cut], "" if self.met else self._held[cut:]
        return released

    def flush(self) -> str:
        """The rest, when no more comes."""
        released, self._held = self._held, ""
        return released

    def _unfinished(self) -> int:
        """Where the earliest stop string may have begun."""
        longest = max(map(len, self._strings), default=1)
        for start in range(max(0, len(self._held) - longest + 1), len(self._held)):
            if any(string.startswith(self._held[start:]) for string in self._strings):
                return start
        return len(self._held)

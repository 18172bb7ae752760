"""Log-probabilities of the tokens of an answer, released together with its text."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from core.tokenizer import Tokenizer
from model.batching import TokenLogprobs


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """A token of an answer or of an echoed prompt."""

    token: int
    """-1 if its text is withheld."""
    offset: int
    """Characters of the text before it."""
    logprob: float | None
    """None for the first token of a prompt."""
    top: Sequence[tuple[int, float]] = ()
    """The most likely tokens in its place."""
    is_stop: bool = False
    """True for the token that ended the answer, which has no text."""


class TokenTexts:
    """Texts and bytes of single tokens, for responses."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        names: Mapping[int, str] = {token: name for name, token in tokenizer.special.items()}

        @cache
        def token_bytes(token: int) -> bytes | None:
            """Return the bytes of a token; None for special tokens and for -1."""
            return None if token < 0 or token in names else tokenizer.token_bytes(token)

        @cache
        def text(token: int) -> str:
            """Return the text, a special token's name, or ``bytes:\\xe2`` for an incomplete character."""
            data = token_bytes(token)
            if data is None:
                return names.get(token, "")
            try:
                return data.decode()
            except UnicodeDecodeError:
                return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)

        self.bytes, self.text = token_bytes, text

    def score_prompt(self, prompt: Sequence[int], logprobs: Sequence[TokenLogprobs]) -> Iterator[ScoredToken]:
        """Yield the tokens of a prompt; ``logprobs`` are those of all but the first."""
        yield ScoredToken(prompt[0], 0, None)
        offset = 0
        for before, scored in zip(prompt, logprobs, strict=False):
            offset += sum(byte & 0xC0 != 0x80 for byte in self.bytes(before) or b"")
            yield ScoredToken(scored.token, offset, scored.logprob, scored.top)


class TokenLog:
    """Holds back the tokens of an answer until all of their text is released.

    ``offset`` is the number of characters before the answer. Once the released text differs from that of the
    tokens, since the safety filter replaced a part of it, tokens are withheld: they keep their
    log-probabilities only.
    """

    def __init__(self, offset: int) -> None:
        self._offset = offset
        self._text = ""
        """Text of the tokens."""
        self._released = 0
        """Characters released."""
        self._intact = True
        """True while the released text is that of the tokens."""
        self._pending: list[tuple[ScoredToken, int | None]] = []
        """Tokens and the end of their text, which is unknown within a character."""

    def add(self, logprobs: TokenLogprobs, text: str, *, is_stop: bool = False) -> None:
        """Add a token and the text that it completes, possibly of earlier tokens."""
        offset = self._offset + len(self._text)
        token = ScoredToken(logprobs.token, offset, logprobs.logprob, logprobs.top, is_stop)
        self._pending.append((token, None))
        self.complete(text)

    def complete(self, text: str) -> None:
        """Add text that completes the tokens so far."""
        self._text += text
        if text:
            end = len(self._text)
            self._pending = [(token, end if known is None else known) for token, known in self._pending]

    def release(self, text: str) -> list[ScoredToken]:
        """Return the tokens whose text is complete with ``text``, the next part of the answer."""
        end = self._released + len(text)
        self._intact &= self._text[self._released : end] == text
        self._released = end
        if not self._intact:
            return []
        count = next(
            (index for index, (_, end) in enumerate(self._pending) if end is None or end > self._released),
            len(self._pending),
        )
        released, self._pending = self._pending[:count], self._pending[count:]
        return [token for token, _ in released]

    def finish(self, *, is_cut: bool) -> list[ScoredToken]:
        """Return the remaining tokens; ``is_cut``: without those after the released text."""
        remaining = [token for token, _ in self._pending]
        self._pending = []
        if is_cut:
            limit = self._offset + self._released
            remaining = [token for token in remaining if token.offset < limit] if self._intact else []
        return remaining if self._intact else [replace(token, token=-1, top=()) for token in remaining]

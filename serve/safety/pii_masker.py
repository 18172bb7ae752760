"""Masking of personal data in text that arrives in chunks."""

import re

from pipeline.filters import pii

MAX_ITEM_CHARACTERS = 120
"""Length up to which an incomplete item of personal data is held back."""
CONTEXT_CHARACTERS = 80
"""Characters before an item that its recognition may depend on, such as a label or a command."""

_TAIL = re.compile(r"(?:[\w¤.%+'@:()\[\]{}/$#-]+(?: {1,2}|\Z))+\Z")
"""The words at the end of a text that may belong to one item, in the folded form of the text."""
_WORD = re.compile("[^ ]+")
_SPELLED_SIGN = re.compile(r"[(\[{].*|A|AT|D|DO|DOT")
"""The beginning of "(at)", "[dot]", "AT" and others, which stand for a sign in an e-mail address."""
_IBAN_GROUP, _HAS_DIGIT = re.compile("[A-Za-z]{1,4}"), re.compile(".*[0-9]")
_JOINS_NEXT = re.compile(r".*[0-9].*|[A-Z]{1,4}|[(\[{].*|[()+/-]+")
"""Words that may be followed by the rest of an item: groups of digits or of an IBAN's letters, signs."""


class PIIMasker:
    """Replace personal data by the tags of the training corpus (:mod:`pipeline.filters.pii`)."""

    def __init__(self) -> None:
        self._pending = ""
        self._context = ""

    def push(self, text: str) -> str:
        """Add text; return the masked text that is complete."""
        self._pending += text
        return self._release(len(self._pending) - _incomplete(self._pending[-MAX_ITEM_CHARACTERS:]))

    def flush(self) -> str:
        """Return the remaining text, masked."""
        return self._release(len(self._pending))

    def _release(self, end: int) -> str:
        if not end:
            return ""
        complete, self._pending = self._pending[:end], self._pending[end:]
        known = len(self._context)
        masked = pii.mask(self._context + complete, start=known).text
        self._context = masked[-CONTEXT_CHARACTERS:]
        return masked[known:]


def _incomplete(text: str) -> int:
    """Return the length of the end of a text in which an item may have started that is not complete."""
    tail = _TAIL.search(pii.fold(text).numeric)
    if not tail:
        return 0
    words = list(_WORD.finditer(tail[0]))
    first = len(words) - 1
    while first and _may_join(words[first - 1][0], words[first][0]):
        first -= 1
    return len(tail[0]) - words[first].start()


def _may_join(word: str, following: str) -> bool:
    """True if two words may belong to one item."""
    return bool(
        _JOINS_NEXT.fullmatch(word)
        or _SPELLED_SIGN.fullmatch(following)
        or (_IBAN_GROUP.fullmatch(word) and _HAS_DIGIT.match(following))
    )

"""Masking of personal data in text that arrives in chunks."""

import re

from pipeline.filters import pii

MAX_ITEM_CHARACTERS = 120
"""Length up to which an incomplete item of personal data is held back."""
CONTEXT_CHARACTERS = 24
"""Characters before an item that its recognition may depend on, such as a label."""

_IN_ITEM = r"\w.%+'@:()/-"
_INCOMPLETE = re.compile(
    rf"[{_IN_ITEM}]*+(?:\s{{1,2}}(?:(?=[^0-9\s]*+[0-9])[{_IN_ITEM}]++|[A-Z]{{1,4}}(?![{_IN_ITEM}])|\([{_IN_ITEM}]*+))*+"
)
"""In reversed text: a word, and groups of digits (or of an IBAN's letters) before it.

An item of personal data may have started there and may not be complete.
"""


class PIIMasker:
    """Replace personal data by the tags of the training corpus (:mod:`pipeline.filters.pii`)."""

    def __init__(self) -> None:
        self._pending = ""
        self._context = ""

    def push(self, text: str) -> str:
        """Add text; return the masked text that is complete."""
        self._pending += text
        incomplete = _INCOMPLETE.match(self._pending[: -MAX_ITEM_CHARACTERS - 1 : -1])
        return self._release(len(self._pending) - (incomplete.end() if incomplete else 0))

    def flush(self) -> str:
        """Return the remaining text, masked."""
        return self._release(len(self._pending))

    def _release(self, end: int) -> str:
        if not end:
            return ""
        complete, self._pending = self._pending[:end], self._pending[end:]
        masked = pii.mask(self._context + complete).text
        if not masked.startswith(self._context):  # an item longer than the text that is held back
            masked = self._context + pii.mask(complete).text
        released = masked[len(self._context) :]
        self._context = masked[-CONTEXT_CHARACTERS:]
        return released

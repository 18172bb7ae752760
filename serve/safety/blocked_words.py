"""Blocked words in text that arrives in chunks: none is released, however the text is split.

Text is compared after compatibility decomposition and case folding, without invisible characters and with
each run of white space as one space (similar to Unicode's NFKC_Casefold): ``ＳＴＲＡẞＥ`` equals *strasse*.
Only whole words match: *ass* is not found in *class*. In scripts without spaces between words (Chinese,
Japanese, Thai and others) a word matches anywhere.
"""

import unicodedata
from collections.abc import Iterable

SPACELESS_SCRIPTS = (
    "CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN",
)  # fmt: skip
"""Prefixes of the Unicode names of characters in scripts without spaces between words."""


class _FoldedCharacters(dict[str, str]):
    """Cache of folded characters, computed on first use."""

    def __missing__(self, character: str) -> str:
        if character.isspace():
            self[character] = " "
            return " "
        decomposed = unicodedata.normalize("NFKD", character).casefold()
        parts = unicodedata.normalize("NFKD", decomposed)
        self[character] = "".join(part for part in parts if unicodedata.category(part) not in ("Cf", "Cc"))
        return self[character]


_FOLDED = _FoldedCharacters()


def fold(text: str) -> tuple[str, list[int]]:
    """Return the folded text and, for each of its characters, the index in ``text`` that it comes from."""
    characters: list[str] = []
    origins: list[int] = []
    for index, character in enumerate(text):
        for part in _FOLDED[character]:
            if part != " " or not characters or characters[-1] != " ":
                characters.append(part)
                origins.append(index)
    return "".join(characters), origins


class BlockedWords:
    """A list of words and phrases, prepared for search."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = {folded for word in words if (folded := fold(word)[0].strip())}
        self._prefixes = {word[:end] for word in self._words for end in range(1, len(word) + 1)}

    def __bool__(self) -> bool:
        return bool(self._words)

    def found_in(self, text: str) -> bool:
        """Return True if ``text`` contains a word of the list."""
        word_filter = BlockedWordFilter(self)
        word_filter.push(text)
        word_filter.flush()
        return word_filter.blocked

    def search(self, previous: str, folded: str, *, ended: bool) -> tuple[int, bool]:
        """Return the length of the start of ``folded`` without blocked words; True if one follows directly.

        ``previous`` is the character before ``folded``; ``ended``: no more text follows.
        """
        for start in range(len(folded)):
            left = folded[start - 1] if start else previous
            for end in range(start + 1, len(folded) + 1):
                part = folded[start:end]
                if part not in self._prefixes or not _is_boundary(left, part[0]):
                    break
                if end == len(folded) and not ended:
                    return start, False
                if part in self._words and _is_boundary(part[-1], folded[end : end + 1]):
                    return start, True
        return len(folded), False


class BlockedWordFilter:
    """Release text in which no blocked word can start; block everything from the first blocked word on."""

    def __init__(self, words: BlockedWords) -> None:
        self._words = words
        self._pending = ""
        self._previous = ""
        """The folded character before ``_pending``."""
        self.blocked = False

    def push(self, text: str) -> str:
        """Add text; return the text that may be sent now."""
        self._pending += text
        return self._release(ended=False)

    def flush(self) -> str:
        """Return the remaining text that may be sent."""
        return self._release(ended=True)

    def _release(self, *, ended: bool) -> str:
        if self.blocked or not self._words:
            released, self._pending = "" if self.blocked else self._pending, ""
            return released
        folded, origins = fold(self._pending)
        clean, self.blocked = self._words.search(self._previous, folded, ended=ended)
        cut = origins[clean] if clean < len(folded) else len(self._pending)
        self._previous = folded[clean - 1] if clean else self._previous
        released, self._pending = self._pending[:cut], "" if self.blocked else self._pending[cut:]
        return released


def _is_boundary(left: str, right: str) -> bool:
    """True if a word may end between two neighbouring characters; either may be missing."""
    return not (_joins_words(left) and _joins_words(right))


def _joins_words(character: str) -> bool:
    """True if a character forms one word with a neighbour of this kind."""
    if not character:
        return False
    if not (character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"):
        return False
    return not unicodedata.name(character, "").startswith(SPACELESS_SCRIPTS)

"""Blocked words in text that comes in pieces: no word of the list is ever let out, wherever the pieces end.

Text is compared by its characters' compatibility decompositions, case folded, without invisible characters
and with any run of white space as one space (after Unicode's NFKC_Casefold): ``ＳＴＲＡẞＥ`` is *strasse*.
A word counts only as a whole word: *ass* is not in *class*. Where a script writes no spaces between words
(Chinese, Japanese, Thai and the like) it counts anywhere.
"""

import unicodedata
from collections.abc import Iterable

SPACELESS = ("CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
"""How the Unicode names of characters begin that belong to scripts without spaces between words."""


class _Folded(dict[str, str]):
    """Of every character what is compared; worked out when first asked for."""

    def __missing__(self, character: str) -> str:
        if character.isspace():
            self[character] = " "
            return " "
        decomposed = unicodedata.normalize("NFKD", character).casefold()
        parts = unicodedata.normalize("NFKD", decomposed)
        self[character] = "".join(part for part in parts if unicodedata.category(part) not in ("Cf", "Cc"))
        return self[character]


FOLDED = _Folded()


def fold(text: str) -> tuple[str, list[int]]:
    """What of a text is compared, and for each of its characters where in ``text`` it comes from."""
    characters: list[str] = []
    origins: list[int] = []
    for place, character in enumerate(text):
        for part in FOLDED[character]:
            if part != " " or not characters or characters[-1] != " ":
                characters.append(part)
                origins.append(place)
    return "".join(characters), origins


class BlockedWords:
    """The list, ready to be looked for."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = {folded for word in words if (folded := fold(word)[0].strip())}
        self._beginnings = {word[:end] for word in self._words for end in range(1, len(word) + 1)}

    def __bool__(self) -> bool:
        return bool(self._words)

    def found(self, text: str) -> bool:
        """Whether a word of the list stands in ``text``."""
        gate = Gate(self)
        gate.push(text)
        gate.flush()
        return gate.blocked

    def look(self, before: str, folded: str, *, ended: bool) -> tuple[int, bool]:
        """How much of ``folded`` is certainly free of blocked words, and whether one begins right there.

        ``before`` is the character before it, ``ended`` says that nothing follows.
        """
        for start in range(len(folded)):
            left = folded[start - 1] if start else before
            for end in range(start + 1, len(folded) + 1):
                part = folded[start:end]
                if part not in self._beginnings or not _apart(left, part[0]):
                    break
                if end == len(folded) and not ended:
                    return start, False
                if part in self._words and _apart(part[-1], folded[end : end + 1]):
                    return start, True
        return len(folded), False


class Gate:
    """Lets text through as soon as no blocked word can begin in it; shut for good when one is met."""

    def __init__(self, words: BlockedWords) -> None:
        self._words = words
        self._held = ""
        self._before = ""
        self.blocked = False

    def push(self, text: str) -> str:
        """What may go out now that ``text`` has come in."""
        self._held += text
        return self._release(ended=False)

    def flush(self) -> str:
        """The rest, when no more comes."""
        return self._release(ended=True)

    def _release(self, *, ended: bool) -> str:
        if self.blocked or not self._words:
            passed, self._held = "" if self.blocked else self._held, ""
            return passed
        folded, origins = fold(self._held)
        free, self.blocked = self._words.look(self._before, folded, ended=ended)
        cut = origins[free] if free < len(folded) else len(self._held)
        self._before = folded[free - 1] if free else self._before
        released, self._held = self._held[:cut], "" if self.blocked else self._held[cut:]
        return released


def _apart(left: str, right: str) -> bool:
    """Whether a word may end between two neighbours (either may be missing)."""
    return not (_joins(left) and _joins(right))


def _joins(character: str) -> bool:
    """Whether a character makes one word with such a character beside it."""
    if not character:
        return False
    if not (character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"):
        return False
    return not unicodedata.name(character, "").startswith(SPACELESS)

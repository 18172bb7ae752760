"""Cue phrases that announce a kind of section, such as "Related articles" or "3 min read".

Text after "Comments" or "About the author" is rarely main content, even if it looks like it. The phrases are
in ``cues.toml``.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache

from core.resources import read_toml

MAX_CHARACTERS = 110
"""Characters of the longest text that is searched for cues."""
_MAX_WORDS = 3
"""Words of the longest cue phrase."""
_KEPT = "\0©"
"""Characters that are kept besides letters and digits."""
_FEW_CHARACTERS = 100
"""Up to so many distinct characters, ``str.replace`` for each is faster than ``str.translate``."""


class Cues:
    """Cue phrases by the kind of section that they announce."""

    def __init__(self, data: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
        self.kinds = tuple(data)
        self._starts_with: defaultdict[str, int] = defaultdict(int)
        self._contains: defaultdict[str, int] = defaultdict(int)
        for kind, phrases in enumerate(data.values()):
            for key, table in (("starts_with", self._starts_with), ("contains", self._contains)):
                for phrase in phrases[key]:
                    table[phrase] |= 1 << kind
        self._leading_words, self._inner_words = (
            frozenset(phrase.split()[0] for phrase in table) for table in (self._starts_with, self._contains)
        )

    def announced(self, texts: Sequence[str]) -> list[int]:
        """Return, for each text, a bit mask of the kinds it announces: bit ``n`` stands for ``kinds[n]``."""
        # One pass over all texts. NUL separates them, because parsed HTML contains none.
        return [self._mask(text.split()) for text in _plain("\0".join(texts)).split("\0")] if texts else []

    def _mask(self, words: Sequence[str]) -> int:
        mask = _lookup(words, 0, self._starts_with) if words and words[0] in self._leading_words else 0
        if not self._inner_words.isdisjoint(words):
            for position, word in enumerate(words):
                if word in self._inner_words:
                    mask |= _lookup(words, position, self._contains)
        return mask


def _plain(text: str) -> str:
    """Return a text in lower case, with ``0`` for each number and a blank for each mark."""
    text = text.lower()
    replaced = {
        character: "0" if character.isdecimal() else " "
        for character in set(text)
        if character.isdecimal() or not (character.isalnum() or character in _KEPT)
    }
    if len(replaced) <= _FEW_CHARACTERS:
        for character, replacement in replaced.items():
            text = text.replace(character, replacement)
    else:
        text = text.translate(str.maketrans(replaced))
    while "00" in text:
        text = text.replace("00", "0")
    return text


def _lookup(words: Sequence[str], position: int, table: Mapping[str, int]) -> int:
    """Return the mask of all phrases that start at a position."""
    mask = 0
    for end in range(position + 1, min(position + _MAX_WORDS, len(words)) + 1):
        mask |= table.get(" ".join(words[position:end]), 0)
    return mask


@cache
def cues() -> Cues:
    """Return the cue phrases that ship with the package."""
    return Cues(read_toml("pipeline.extraction.html", "cues.toml"))

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
        self._lengths: defaultdict[str, int] = defaultdict(int)
        """By first word: the number of words of the longest phrase."""
        for phrase in (*self._starts_with, *self._contains):
            first, *others = phrase.split()
            self._lengths[first] = max(self._lengths[first], 1 + len(others))

    def announced(self, texts: Sequence[str]) -> list[int]:
        """Return, for each text, a bit mask of the kinds it announces: bit ``n`` stands for ``kinds[n]``."""
        # One pass over all texts. NUL separates them, because parsed HTML contains none.
        words = _plain("\0".join(("", *texts))).replace("\0", " \0 ").split()
        masks, text, start = [0] * len(texts), -1, 0
        lengths, contains, starts_with = self._lengths, self._contains, self._starts_with
        for position, word in enumerate(words):
            if word == "\0":
                text, start = text + 1, position + 1
            elif word in lengths:
                for end in range(position + 1, position + 1 + lengths[word]):
                    phrase = " ".join(words[position:end])
                    masks[text] |= contains.get(phrase, 0)
                    if position == start:
                        masks[text] |= starts_with.get(phrase, 0)
        return masks


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
        text = text.translate({ord(character): replacement for character, replacement in replaced.items()})
    while "00" in text:
        text = text.replace("00", "0")
    return text


@cache
def cues() -> Cues:
    """Return the cue phrases that ship with the package."""
    return Cues(read_toml("pipeline.extraction.html", "cues.toml"))

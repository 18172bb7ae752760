"""Cue phrases that announce a kind of section, such as "Related articles" or "3 min read".

Text after "Comments" or "About the author" is rarely main content, even if it looks like it. The phrases are
in ``cues.toml``.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache

from core.resources import read_toml

MAX_CHARACTERS = 110
"""Characters of the longest text that is searched for cues."""
_KEPT = "\0©"
"""Characters that are kept besides letters and digits."""
_ZEROS = re.compile("00+")
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
        self._leading, self._inner = _trie(self._starts_with), _trie(self._contains)

    def announced(self, texts: Sequence[str]) -> list[int]:
        """Return, for each text, a bit mask of the kinds it announces: bit ``n`` stands for ``kinds[n]``."""
        # One pass over all texts. NUL separates them, because parsed HTML contains none.
        words = _plain("\0".join(("", *texts, ""))).replace("\0", " \0 ").split()
        masks, text, inner = [0] * (len(texts) + 1), -1, self._inner.following
        for position, word in enumerate(words):
            if word in inner:
                masks[text] |= self._inner.mask_at(words, position)
            elif word == "\0":
                text += 1
                masks[text] = self._leading.mask_at(words, position + 1)
        return masks[:-1]


class _Phrases:
    """Phrases that begin with the same words, as a tree by word."""

    __slots__ = ("following", "mask")

    def __init__(self) -> None:
        self.mask = 0
        """The kinds that the words so far announce."""
        self.following: dict[str, _Phrases] = {}

    def mask_at(self, words: Sequence[str], position: int) -> int:
        """Return the mask of all phrases that start at a position."""
        mask, node = 0, self
        while position < len(words) and (found := node.following.get(words[position])) is not None:
            mask, node, position = mask | found.mask, found, position + 1
        return mask


def _trie(masks: Mapping[str, int]) -> _Phrases:
    root = _Phrases()
    for phrase, mask in masks.items():
        node = root
        for word in phrase.split():
            node = node.following.setdefault(word, _Phrases())
        node.mask |= mask
    return root


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
    return _ZEROS.sub("0", text)


@cache
def cues() -> Cues:
    """Return the cue phrases that ship with the package."""
    return Cues(read_toml("pipeline.extraction.html", "cues.toml"))

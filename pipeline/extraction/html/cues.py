"""What short texts announce: headings such as "Related articles", labels such as "3 min read".

What follows "Comments" or "About the author" is seldom what its page is for, whatever it looks like. The
words are in ``data/cues.toml``.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache

from core.resources import read_toml

LONGEST = 110
"""Characters of a text that may announce something."""
_MOST_WORDS = 3
"""Words of a cue."""
_NUMBER = re.compile(r"\d+")
_NO_WORD = re.compile(r"[^\w\0©]+|_")


class Cues:
    """Words by the kinds of sections that they announce."""

    def __init__(self, data: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
        self.kinds = tuple(data)
        self._begins: defaultdict[str, int] = defaultdict(int)
        self._holds: defaultdict[str, int] = defaultdict(int)
        for kind, cues in enumerate(data.values()):
            for table, words in ((self._begins, cues["begins"]), (self._holds, cues["holds"])):
                for cue in words:
                    table[cue] |= 1 << kind
        self._first_words, self._inner_words = (
            frozenset(cue.split()[0] for cue in table) for table in (self._begins, self._holds)
        )

    def announced(self, texts: Sequence[str]) -> list[int]:
        """Of each text the kinds that it announces: bit ``n`` stands for ``kinds[n]``."""
        # All texts at once; NUL can stand between them, for parsers let none through.
        plain = _NO_WORD.sub(" ", _NUMBER.sub("0", "\0".join(texts).lower()))
        return [self._of(text.split()) for text in plain.split("\0")] if texts else []

    def _of(self, words: Sequence[str]) -> int:
        kinds = _bits(words, 0, self._begins) if words and words[0] in self._first_words else 0
        if not self._inner_words.isdisjoint(words):
            for place, word in enumerate(words):
                if word in self._inner_words:
                    kinds |= _bits(words, place, self._holds)
        return kinds


def _bits(words: Sequence[str], place: int, table: Mapping[str, int]) -> int:
    """What one, two and three words from a place on say."""
    bits = 0
    for end in range(place + 1, min(place + _MOST_WORDS, len(words)) + 1):
        bits |= table.get(" ".join(words[place:end]), 0)
    return bits


@cache
def cues() -> Cues:
    """Those that come with the package."""
    return Cues(read_toml("pipeline.extraction.html", "cues.toml"))

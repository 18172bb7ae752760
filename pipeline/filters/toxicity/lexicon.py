"""What the toxicity classifier is told of a text besides its words: signs that are the same in all languages.

Lists say of words that they are obscene, hostile, name a group, negate … (data/toxicity.toml). Each kind that
occurs in a text is a sign, and each pair of kinds of which the second follows the first closely. So what
labelled texts of one language teach on, say, hostility next to a group holds in those without such texts, and
an insult after a negation is something else than an insult.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from itertools import chain

from core.resources import read_text, read_toml

NEAR = 6
"""Words that a pair may be apart."""
TELLING = 100
"""Words of a text by which its language is guessed."""

_SIGN, _LETTERS = "ᛝ", "ᚠᚢᚦᚨᚱᚲᚷᚹᚺᚾᛁᛃ"
"""Runes: what begins a sign, and a letter for each kind. Words of today's texts share no parts with them."""
OFFENSIVE = frozenset("ᚠᚨᚱᚲ")
"""Letters of the kinds that may offend: obscene, hostility, insult, slur."""
_UNSPACED = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_UNSPACED_LANGUAGES = frozenset(("ja", "ko", "th", "zh"))
_CHARACTERS = 2
"""Characters that are as long as a word where words are not separated."""

_LEARNED = ("ko", "de", "pt", "en")
"""Languages with labelled texts: of those with as many votes, these are taken, later ones first."""

_Meaning = tuple[int, str, frozenset[str]]
"""What a word means: where in it (in words), a kind's letter, and in which languages."""


class Signs:
    """The lists. Words are to be prepared (lower case, no punctuation) and in the order of the text."""

    def __init__(self) -> None:
        package = "pipeline.filters.toxicity"
        table = read_toml(package, "data/toxicity.toml")
        harmless = frozenset(table["harmless"]["words"].split())
        obscene = _by_language(read_text(package, "data/obscene_words.txt"))
        kinds = {"obscene": {code: words - harmless for code, words in obscene.items()}}
        for kind, by_language in table["kinds"].items():
            kinds[kind] = {code: frozenset(words.split()) for code, words in by_language.items()}
        languages: dict[tuple[str, str], set[str]] = {}
        for by_language, letter in zip(kinds.values(), _LETTERS, strict=False):
            for code, words in by_language.items():
                for word in words | set(map(_unaccented, words)):
                    languages.setdefault((word, letter), set()).add(code)
        self._meanings: dict[str, list[_Meaning]] = {}
        for (word, letter), codes in languages.items():
            self._meanings.setdefault(word, []).append((0, letter, frozenset(codes)))
        unspaced = {
            word
            for (word, _), codes in languages.items()
            if codes & _UNSPACED_LANGUAGES and (len(word) > 1 or "ko" not in codes)
        }
        longest_first = sorted(unspaced, key=lambda word: (-len(word), word))
        self._unspaced = re.compile("|".join(map(re.escape, longest_first)))
        self._offending = {
            word: frozenset().union(*(codes for _, letter, codes in meanings if letter in OFFENSIVE))
            for word, meanings in self._meanings.items()
            if any(letter in OFFENSIVE for _, letter, _ in meanings)
        }
        """Words that may offend, and in which languages they do so for sure."""
        self._offensive: dict[str, AbstractSet[str]] = {}
        self._ordinary = _by_language(read_text(package, "data/ordinary_words.txt"))
        self._spoken: dict[str, list[str]] = {}
        for by_language in (self._ordinary, kinds["negation"], kinds["self"], kinds["you"]):
            for code, words in by_language.items():
                for word in words:
                    self._spoken.setdefault(word, []).extend([code] * (1 + (word not in self._meanings)))

    def of(self, words: Sequence[str], language: str) -> list[str]:
        """The signs of a passage, each once; none where nothing in it might offend."""
        if not self.may_tell(words, language):
            return []
        hits = list(self._hits(words, language))
        found = {letter: None for _, letter in hits}
        if OFFENSIVE.isdisjoint(found):
            return []
        for index, (place, letter) in enumerate(hits):
            if letter in OFFENSIVE:
                for other_place, other in hits[max(0, index - NEAR) : index + NEAR + 1]:
                    if other != letter and abs(other_place - place) <= NEAR:
                        found[letter + other if other_place >= place else other + letter] = None
        return [_SIGN + letters for letters in found]

    def may_tell(self, words: Sequence[str], language: str) -> bool:
        """Whether anything in the words, of a passage or of a whole text, might offend."""
        if not self._offensive_in(language).isdisjoint(words):
            return True
        together = " ".join(words)
        return not together.isascii() and _UNSPACED.search(together) is not None

    def _offensive_in(self, language: str) -> AbstractSet[str]:
        """The words that may offend in texts of a language; gathered when first asked for."""
        if language not in self._offensive:
            ordinary = self._ordinary.get(language, frozenset()) & self._offending.keys()
            harmless = {word for word in ordinary if language not in self._offending[word]}
            self._offensive[language] = self._offending.keys() - harmless
        return self._offensive[language]

    def language(self, words: Sequence[str]) -> str:
        """The language whose common words are most frequent at the beginning of a text; empty where none are.

        Those that another language's list has count half. Where two are as frequent, one of which there are
        labelled texts is preferred: of a post there are few words to tell by.
        """
        votes = Counter(chain.from_iterable(filter(None, map(self._spoken.get, words[:TELLING]))))
        most = max(votes.values(), default=0)
        first = [code for code, count in votes.items() if count == most]
        return max(
            first, key=lambda code: (_LEARNED.index(code) if code in _LEARNED else -1, code), default=""
        )

    def is_common_elsewhere(self, word: str, language: str) -> bool:
        """Whether the word is among the common ones of another language."""
        return any(word in words for code, words in self._ordinary.items() if code != language)

    def _hits(self, words: Sequence[str], language: str) -> Iterator[tuple[int, str]]:
        """Places, in words, and kinds of what the lists have, in the order of the text."""
        ordinary, shift = self._ordinary.get(language, frozenset()), 0
        for place, word in enumerate(words):
            meanings = self._meanings.get(word)
            if meanings is None:
                if word.isascii() or not _UNSPACED.match(word):
                    continue
                meanings = self._within(word)
                shift += len(word) // _CHARACTERS
            for offset, letter, codes in meanings:
                if word not in ordinary or language in codes:
                    yield place + shift + offset, letter

    def _within(self, word: str) -> list[_Meaning]:
        length = len(word) // _CHARACTERS
        return [
            (match.start() // _CHARACTERS - length, letter, codes)
            for match in self._unspaced.finditer(word)
            for _, letter, codes in self._meanings[match[0]]
        ]


@cache
def load() -> Signs:
    """The lists, once per process."""
    return Signs()


def _unaccented(word: str) -> str:
    """As many write who are in haste; only Latin letters lose their marks."""
    if not "a" <= word[:1] <= "\u024f":
        return word
    return "".join(each for each in unicodedata.normalize("NFD", word) if not unicodedata.combining(each))


def _by_language(text: str) -> dict[str, frozenset[str]]:
    """Lines of a language's code, a colon and words; a code may come twice. ``#`` begins a comment."""
    words: dict[str, frozenset[str]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            code, _, rest = line.partition(":")
            words[code] = words.get(code, frozenset()) | frozenset(rest.split())
    return words

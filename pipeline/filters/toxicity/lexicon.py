"""Language-independent features for the toxicity classifier, from word lists.

The lists assign words to categories: obscene, hostile, the name of a group, negation and so on. Each category
that occurs in a passage becomes a token, and so does each pair of categories whose words occur within
:data:`MAX_DISTANCE` words, in order, if one of the two may offend. The tokens are the same in all languages,
so what the classifier learns about hostility next to a group in one language applies in others, and an insult
after a negation differs from an insult. Example:

>>> lexicon = load()
>>> words = ["i", "hate", "women"]
>>> lexicon.features(words, lexicon.guess_language(words)) == [
...     token(Category.SELF),
...     token(Category.HOSTILITY),
...     token(Category.GROUP),
...     token(Category.SELF, Category.HOSTILITY),
...     token(Category.HOSTILITY, Category.GROUP),
... ]
True
>>> lexicon.features(["je", "déteste", "les", "femmes"], "fr") == lexicon.features(words, "en")
True
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from typing import NamedTuple

import numpy as np

from pipeline.filters.toxicity import word_lists
from pipeline.filters.toxicity.categories import OFFENSIVE, Category, token
from pipeline.filters.toxicity.word_lists import WordLists

MAX_DISTANCE = 6
"""Maximum distance, in words, between the two words of a pair."""
LANGUAGE_WORDS = 100
"""Number of leading words from which the language is guessed."""

_UNSPACED = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_UNSPACED_LANGUAGES = frozenset(("ja", "ko", "th", "zh"))
_UNSPACED_WORD_LENGTH = 2
"""Characters that count as one word in scripts without spaces."""

_TIE_BREAK = ("ko", "de", "pt", "en")
"""Languages with labelled training texts. They win ties, later ones first."""


class _Meaning(NamedTuple):
    """One meaning of a word."""

    offset: int
    """Position relative to the word's, in words. Not 0 only inside unspaced text."""
    category: Category
    languages: frozenset[str]


class Lexicon:
    """Word lists compiled for lookup.

    All methods expect words as :func:`pipeline.filters.classifier.model.split_words` returns them: lower
    case, without punctuation, in the order of the text.
    """

    def __init__(self, lists: WordLists) -> None:
        self._common = lists.common
        languages = _languages_by_word(lists.by_category)
        self._meanings: dict[str, list[_Meaning]] = {}
        for (word, category), codes in languages.items():
            self._meanings.setdefault(word, []).append(_Meaning(0, category, frozenset(codes)))
        self._unspaced_words = _alternatives(
            word
            for (word, _), codes in languages.items()
            if codes & _UNSPACED_LANGUAGES and (len(word) > 1 or "ko" not in codes)
        )
        self._offensive_languages = {
            word: frozenset().union(*(each.languages for each in meanings if each.category in OFFENSIVE))
            for word, meanings in self._meanings.items()
            if any(each.category in OFFENSIVE for each in meanings)
        }
        """For each word that may offend, the languages whose lists have it as offensive."""
        self._offensive_words: dict[str, AbstractSet[str]] = {}
        """Cache of :meth:`offensive_words`."""
        frequent = (lists.by_category[each] for each in (Category.NEGATION, Category.SELF, Category.YOU))
        votes: Counter[tuple[str, str]] = Counter()
        for by_language in (self._common, *frequent):
            for code, words in by_language.items():
                votes.update({(word, code): 1 if word in self._meanings else 2 for word in words})
        self._voting_languages = sorted({code for _, code in votes})
        self._vote_rows = {word: row for row, word in enumerate(dict.fromkeys(word for word, _ in votes))}
        self._votes = np.zeros((len(self._vote_rows), len(self._voting_languages)), np.int64)
        """For each word, the languages it is common in; twice if it has no category."""
        columns = {code: column for column, code in enumerate(self._voting_languages)}
        for (word, code), count in votes.items():
            self._votes[self._vote_rows[word], columns[code]] = count

    def features(self, words: Sequence[str], language: str) -> list[str]:
        """Return the distinct tokens of a passage, categories before pairs; empty if nothing may offend."""
        if not self.may_offend(words, language):
            return []
        hits = list(self._hits(words, language))
        found: dict[tuple[Category, ...], None] = {(category,): None for _, category in hits}
        if OFFENSIVE.isdisjoint(category for _, category in hits):
            return []
        for index, (position, category) in enumerate(hits):
            if category in OFFENSIVE:
                neighbours = hits[max(0, index - MAX_DISTANCE) : index + MAX_DISTANCE + 1]
                for other_position, other in neighbours:
                    if other != category and abs(other_position - position) <= MAX_DISTANCE:
                        in_order = other_position >= position
                        found[(category, other) if in_order else (other, category)] = None
        return [token(*categories) for categories in found]

    def categories(self, words: Sequence[str], language: str) -> set[Category]:
        """Return the categories of the listed words in a passage."""
        return {category for _, category in self._hits(words, language)}

    def may_offend(self, words: Sequence[str], language: str) -> bool:
        """True if any of the words may offend. False rules out features."""
        if not self.offensive_words(language).isdisjoint(words):
            return True
        return has_unspaced(words)

    def guess_language(self, words: Sequence[str]) -> str:
        """Return the language whose common words are most frequent at the beginning of a text, or ``""``.

        Words that have a category count half. Ties are frequent in posts of a few words; languages with
        labelled training texts win them.
        """
        rows = [row for word in words[:LANGUAGE_WORDS] if (row := self._vote_rows.get(word)) is not None]
        if not rows:
            return ""
        votes = np.add.reduce(self._votes.take(rows, axis=0))
        columns: list[int] = (votes == votes.max()).nonzero()[0].tolist()
        tied = [self._voting_languages[column] for column in columns]
        return max(tied, key=lambda code: (_TIE_BREAK.index(code) if code in _TIE_BREAK else -1, code))

    def is_common_in_other_language(self, word: str, language: str) -> bool:
        """True if the word is among the common words of any language but ``language``."""
        return any(word in words for code, words in self._common.items() if code != language)

    def offensive_words(self, language: str) -> AbstractSet[str]:
        """Words that may offend in texts of a language: not those that are common and harmless there."""
        if language not in self._offensive_words:
            common = self._common.get(language, frozenset()) & self._offensive_languages.keys()
            harmless = {word for word in common if language not in self._offensive_languages[word]}
            self._offensive_words[language] = self._offensive_languages.keys() - harmless
        return self._offensive_words[language]

    def _hits(self, words: Sequence[str], language: str) -> Iterator[tuple[int, Category]]:
        """Yield position (in words) and category of each listed word, in the order of the text.

        A common word of the text's language counts only if it is listed for that language: "die" is not
        hostile in German.
        """
        common, shift = self._common.get(language, frozenset()), 0
        unspaced = has_unspaced(words)
        for position, word in enumerate(words):
            meanings = self._meanings.get(word)
            if meanings is None:
                if not unspaced or not _UNSPACED.match(word):
                    continue
                meanings = self._meanings_within(word)
                shift += len(word) // _UNSPACED_WORD_LENGTH
            for offset, category, languages in meanings:
                if word not in common or language in languages:
                    yield position + shift + offset, category

    def _meanings_within(self, run: str) -> list[_Meaning]:
        """Meanings of the listed words inside a run of unspaced text; offsets count from its end."""
        length = len(run) // _UNSPACED_WORD_LENGTH
        return [
            _Meaning(match.start() // _UNSPACED_WORD_LENGTH - length, each.category, each.languages)
            for match in self._unspaced_words.finditer(run)
            for each in self._meanings[match[0]]
        ]


@cache
def load() -> Lexicon:
    """Return the lexicon of the shipped word lists, compiled once per process."""
    return Lexicon(word_lists.load())


def has_unspaced(words: Sequence[str]) -> bool:
    """True if any of the words is of a script that is written without spaces."""
    joined = " ".join(words)
    return not joined.isascii() and _UNSPACED.search(joined) is not None


def _languages_by_word(
    by_category: Mapping[Category, word_lists.Words],
) -> dict[tuple[str, Category], set[str]]:
    """Languages in which each word has each category, also for its spelling without diacritics."""
    languages: dict[tuple[str, Category], set[str]] = {}
    for category, by_language in by_category.items():
        for code, words in by_language.items():
            for word in words | set(map(_strip_diacritics, words)):
                languages.setdefault((word, category), set()).add(code)
    return languages


def _alternatives(words: Iterable[str]) -> re.Pattern[str]:
    """Compile a pattern that matches any of the words, the longest first."""
    longest_first = sorted(set(words), key=lambda word: (-len(word), word))
    return re.compile("|".join(map(re.escape, longest_first)))


def _strip_diacritics(word: str) -> str:
    """Strip diacritics from Latin letters, since informal text often omits them."""
    if not "a" <= word[:1] <= "\u024f":
        return word
    return "".join(each for each in unicodedata.normalize("NFD", word) if not unicodedata.combining(each))

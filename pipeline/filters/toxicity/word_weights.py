"""Words graded by how toxic they make a text: data/graded_words.txt, which says by what they were graded.

A linear model over words is its words' weights. Of such models, alt-profanity-check among them, whole numbers
are kept, in log-odds, of words that weigh something; their sum stands beside what the classifier says.
"""

from collections.abc import Mapping, Sequence
from functools import cache

from core.resources import read_text
from pipeline.filters.toxicity import lexicon


class Grades:
    """Grades by language and word."""

    def __init__(self, by_language: Mapping[str, Mapping[str, int]]) -> None:
        self._by_language = by_language
        self._elsewhere = {
            word: grade
            for code, grades in by_language.items()
            for word, grade in grades.items()
            if not lexicon.load().is_common_elsewhere(word, code)
        }
        """Of texts in other languages, and those whose is not known."""

    def of(self, words: Sequence[str], language: str) -> int:
        """The sum of the words' grades in a text of a language, which is empty where none is guessed."""
        grades = self._by_language.get(language, self._elsewhere)
        return sum(map(grades.__getitem__, filter(grades.__contains__, words)))

    def without(self, language: str) -> "Grades":
        """The grades of the other languages."""
        return Grades({code: grades for code, grades in self._by_language.items() if code != language})


@cache
def load() -> Grades:
    """The grades that are shipped, once per process.

    A line has a language's code, a grade, a colon and words; ``#`` begins a comment.
    """
    by_language: dict[str, dict[str, int]] = {}
    for line in read_text("pipeline.filters.toxicity", "data/word_weights.txt").splitlines():
        if not line.startswith("#"):
            kind, _, words = line.partition(":")
            code, grade = kind.split()
            by_language.setdefault(code, {}).update(dict.fromkeys(words.split(), int(grade)))
    return Grades(by_language)

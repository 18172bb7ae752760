"""Words graded by how toxic they make a text: data/graded_words.txt, which says by what they were graded.

A linear model over words is its words' weights. Of such models, alt-profanity-check among them, whole numbers
are kept, in log-odds, of words that weigh something; their sum stands beside what the classifier says.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources

from pipeline.filters import signs


class Grades:
    """Grades by language and word."""

    def __init__(self, by_language: Mapping[str, Mapping[str, int]]) -> None:
        self._by_language = by_language
        self._elsewhere = {
            word: grade
            for code, grades in by_language.items()
            for word, grade in grades.items()
            if not signs.load().is_common_elsewhere(word, code)
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
    path = resources.files("pipeline.filters").joinpath("data/graded_words.txt")
    by_language: dict[str, dict[str, int]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            kind, _, words = line.partition(":")
            code, grade = kind.split()
            by_language.setdefault(code, {}).update(dict.fromkeys(words.split(), int(grade)))
    return Grades(by_language)

"""Word lists that ship with the toxicity classifier: reading ``data/*.txt`` and ``data/toxicity.toml``."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from core.resources import read_text, read_toml
from pipeline.filters.toxicity.categories import Category

Words = Mapping[str, frozenset[str]]
"""Words by language code."""


@dataclass(frozen=True, slots=True)
class WordLists:
    """Lower-case words without punctuation."""

    by_category: Mapping[Category, Words]
    """Obscene words without the harmless ones."""
    harmless: frozenset[str]
    """Words of the source lists of obscene words that are ordinary in some language or context."""
    common: Words
    """The most frequent words of each language."""


@cache
def load() -> WordLists:
    """Return the shipped lists, read once per process."""
    package = "pipeline.filters.toxicity"
    table = read_toml(package, "data/toxicity.toml")
    harmless = frozenset(table["harmless"]["words"].split())
    obscene = parse_words(read_text(package, "data/obscene_words.txt"))
    by_category: dict[Category, Words] = {
        Category.OBSCENE: {language: words - harmless for language, words in obscene.items()}
    }
    for name, by_language in table["categories"].items():
        by_category[Category(name)] = {
            language: frozenset(words.split()) for language, words in by_language.items()
        }
    return WordLists(by_category, harmless, parse_words(read_text(package, "data/common_words.txt")))


def parse_words(text: str) -> dict[str, frozenset[str]]:
    """Parse lines of ``language: words``. A language may have several lines; ``#`` starts a comment line."""
    words: dict[str, frozenset[str]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            language, _, rest = line.partition(":")
            words[language] = words.get(language, frozenset()) | frozenset(rest.split())
    return words

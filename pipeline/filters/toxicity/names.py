"""Names and fixed expressions in which a word that may offend does not: *Dick Cheney*, *cock robin*.

They are left out of suspicious passages before these are scored. The lists are in ``data/names.toml``.
"""

import re
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

from core.resources import read_toml
from pipeline.filters.classifier.model import split_words
from pipeline.filters.toxicity import lexicon
from pipeline.filters.toxicity.deobfuscate import deobfuscate

_CAPITALIZED = r"[A-ZÀ-ÖØ-Þ](?:\.|[\w'’-]*[a-zß-öø-ÿ][\w'’-]*)"
"""A capitalized word or an initial. Words in upper case throughout are not names."""


def remove(words: Sequence[str], text: str) -> list[str]:
    """Return the words of a passage without fixed expressions and names.

    Names are recognized by their capital letters in ``text``, from which the words come.
    """
    if _significant_words().isdisjoint(words):
        return list(words)
    rest = _expressions().sub(" ", " ".join(words)).split()
    if _names().isdisjoint(rest):
        return rest
    pairs, bounded = pairs_with_names(text), ["", *rest, ""]
    return [
        word
        for index, word in enumerate(rest)
        if word not in _names() or pairs.isdisjoint(pairwise(bounded[index : index + 3]))
    ]


def pairs_with_names(text: str) -> set[tuple[str, str]]:
    """Return the pairs of a listed name and the capitalized word before or after it, in lower case.

    The other word must not be one that may offend or a frequent one, such as *The*.
    """
    found = set()
    for match in _name_pattern().finditer(text):
        name = match["name"].lower()
        if match["before"] and _may_be_name(before := split_words(match["before"])[-1]):
            found.add((before, name))
        if match["after"] and _may_be_name(after := split_words(match["after"])[0]):
            found.add((name, after))
    return found


def _may_be_name(word: str) -> bool:
    listed = lexicon.load()
    if listed.may_offend([word], "") or word in _data()["no_names"].split():
        return False
    return len(word) == 1 or not listed.is_common_in_other_language(word, "")


@cache
def _significant_words() -> frozenset[str]:
    """Return the listed names, and of each expression a word that may offend, or its longest word."""
    words = set(_names())
    for expression in _data()["expressions"]:
        own = _words(expression)
        offensive = [word for word in own if lexicon.load().may_offend([word], "")]
        words.add(max(offensive or own, key=len))
    return frozenset(words)


@cache
def _names() -> frozenset[str]:
    return frozenset(_data()["names"].split())


@cache
def _name_pattern() -> re.Pattern[str]:
    """Return a pattern for a listed name with the capitalized words around it."""
    names = "|".join(sorted(map(str.capitalize, _names())))
    return re.compile(
        rf"(?:(?P<before>{_CAPITALIZED}) )?\b(?P<name>{names})\b(?= (?P<after>{_CAPITALIZED}))?"
    )


@cache
def _expressions() -> re.Pattern[str]:
    """Return a pattern for the expressions, longer ones first, in words joined by spaces."""
    expressions = sorted((" ".join(_words(each)) for each in _data()["expressions"]), key=len, reverse=True)
    return re.compile(rf"(?<!\S)(?:{'|'.join(map(re.escape, expressions))})(?!\S)")


def _words(expression: str) -> list[str]:
    return split_words(deobfuscate(expression))


@cache
def _data() -> dict[str, Any]:
    return read_toml("pipeline.filters.toxicity", "data/names.toml")

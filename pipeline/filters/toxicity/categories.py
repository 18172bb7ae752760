"""Categories of the listed words, and the classifier's tokens for them."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Category(StrEnum):
    """Meaning of a listed word, by its name in ``data/toxicity.toml``."""

    OBSCENE = "obscene"
    NEGATION = "negation"
    GROUP = "group"
    HOSTILITY = "hostility"
    INSULT = "insult"
    SLUR = "slur"
    WARMTH = "warmth"
    REPROOF = "reproof"
    SELF = "self"
    YOU = "you"


OFFENSIVE = frozenset({Category.OBSCENE, Category.HOSTILITY, Category.INSULT, Category.SLUR})
"""Categories whose words may offend."""

_PREFIX = "ᛝ"
_CODES: Mapping[Category, str] = MappingProxyType(
    {
        Category.OBSCENE: "ᚠ",
        Category.NEGATION: "ᚢ",
        Category.GROUP: "ᚦ",
        Category.HOSTILITY: "ᚨ",
        Category.INSULT: "ᚱ",
        Category.SLUR: "ᚲ",
        Category.WARMTH: "ᚷ",
        Category.REPROOF: "ᚹ",
        Category.SELF: "ᚺ",
        Category.YOU: "ᚾ",
    }
)
"""One character per category. Tokens made of them are in the vocabulary of ``models/toxicity.ftz``, so they
change only when it is trained again. Runic letters share no character n-grams with words of modern texts."""


def token(*categories: Category) -> str:
    """Return the classifier's token for one category, or for two that occur close together in this order.

    >>> token(Category.GROUP), token(Category.HOSTILITY, Category.GROUP)
    ('ᛝᚦ', 'ᛝᚨᚦ')
    """
    return _PREFIX + "".join(_CODES[category] for category in categories)

"""Fold text to a small alphabet in which the patterns of personal data are searched."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from pipeline.analysis.arrays import code_points
from pipeline.analysis.characters import cached_table

Span = tuple[int, int]
"""Start and end."""
TAGS = {
    "pii_emails": "<email>",
    "pii_ip_addresses": "<ip>",
    "pii_cards": "<card>",
    "pii_ibans": "<iban>",
    "pii_phones": "<phone>",
}
"""The tag that replaces an item, by the metric that counts it."""

_TAG = re.compile("|".join(TAGS.values()))
_UNSPACED_SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR", "HALFWIDTH")
_SHAPE = bytes.maketrans(b"123456789[{]}", b"000000000(())")
_DIGIT_RUN = re.compile(r"0(?:(?:[ ()/\xad-]|\.(?! )){0,4}+0){6,}+")


@dataclass(frozen=True, slots=True)
class Folded:
    """A text and its folded forms, all of the same length."""

    text: str
    folded: str
    """Digits of all scripts as ASCII digits, spaces as " ", non-ASCII dashes as "\\xad", non-ASCII letters as
    "é", letters of scripts without spaces as "¤", tags as "ß" and other characters as "§". "\\w" matches
    letters, digits and tags among these."""
    shape: str
    """``folded`` with all digits as "0" and all brackets as parentheses, so that every pattern starts with or
    surrounds one fixed character: the regex engine searches such patterns many times as fast as others."""
    numeric: str
    """``folded`` with all dashes as "-"."""
    runs: list[Span]
    """Spans of at least seven digits with few characters between them."""


def fold(text: str) -> Folded:
    """Return the folded forms of a text."""
    folded = text
    if not text.isascii():
        folded = _fold_table().take(code_points(text)).tobytes().decode("latin-1")
    if "<" in text:
        folded = _TAG.sub(lambda tag: "ß" * len(tag[0]), folded)
    shape = folded.encode("latin-1").translate(_SHAPE).decode("latin-1")
    runs = [run.span() for run in _DIGIT_RUN.finditer(shape)]
    return Folded(text, folded, shape, folded.replace("\xad", "-"), runs)


@cache
def _fold_table() -> npt.NDArray[np.uint8]:
    return cached_table("folded", _build_fold_table, "pipeline.filters.pii")


def _build_fold_table() -> npt.NDArray[np.uint8]:
    """Return the Latin-1 character that each code point is folded to. Takes half a second."""
    table = np.full(0x110000, ord("¤"), np.uint8)
    table[:0x20000] = [ord(_fold_character(chr(code))) for code in range(0x20000)]
    return table


def _fold_character(character: str) -> str:
    form, _, code = unicodedata.decomposition(character).partition(" ")
    if form == "<wide>" and len(code) == 4:
        character = chr(int(code, 16))
    if character.isascii():
        return character
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Zs":
        return " "
    if category == "Pd" or character == "−":
        return "\xad"
    if category[0] not in "LM":
        return "§"
    return "¤" if unicodedata.name(character, "").startswith(_UNSPACED_SCRIPTS) else "é"

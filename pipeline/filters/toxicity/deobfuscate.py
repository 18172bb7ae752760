"""Undo spellings that hide words from word lists."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.arrays import Flags, Groups, code_points, nonzero_indices
from pipeline.analysis.characters import DIGIT, MARK, WORDLIKE, character_table

_INVISIBLE = re.compile("[\\u00ad\\u200b-\\u200f\\u2060\\ufeff]")
_LOOKALIKE = re.compile("[асеіјорѕхуԁνοα]")
_MIXED_SCRIPTS = re.compile("[a-z][а-яіјѕԁο]|[а-яіјѕԁο][a-z]")
_LATIN_FOR_LOOKALIKE = str.maketrans("асеіјорѕхуԁνοαмтнкв", "aceijopsxydvoamthkb")
_WORD = re.compile(r"\w+")
_SUBSTITUTES, _SEPARATORS = "@$!*013457", " .*_-"
_SUBSTITUTED = re.compile(rf"[{_SUBSTITUTES}]+(?=[^\W\d_])")
_LETTER_FOR_SUBSTITUTE = str.maketrans("@$!013457", "asioieast", "*")
_SPACED = re.compile(rf"\b[^\W\d_](?:[{_SEPARATORS}][^\W\d_]\b){{2,}}")
_SEPARATOR = re.compile(f"[{_SEPARATORS}]")
_REPEATED = re.compile(r"(.)\1\1+")
_GAP = "    "
"""Appended to every text: longer than the context in which an obfuscation is recognized."""
_IS_LETTER, _IS_SUBSTITUTE, _IS_SEPARATOR = 1, 2, 4


def deobfuscate(text: str) -> str:
    """Return the text in lower case, with plain spelling of sh1t, f u c k, b.i.t.c.h, whooore, mixed scripts.

    Masked letters (f*ck) are dropped. A letter repeated three or more times is kept once; g, l and s twice.
    """
    return deobfuscate_together([text])[0]


def deobfuscate_together(texts: Sequence[str]) -> list[str]:
    """Return what :func:`deobfuscate` does for each text."""
    plain = list(map(_normalize, texts))
    found = zip(*(flags.tolist() for flags in _find_obfuscations(plain)), strict=True)
    return [_restore(text, *each) if any(each) else text for text, each in zip(plain, found, strict=True)]


def _normalize(text: str) -> str:
    """Return the text in lower case, with compatible characters and lookalikes replaced."""
    text = text.lower()
    if not text.isascii():
        if not unicodedata.is_normalized("NFKC", text):
            text = unicodedata.normalize("NFKC", text)
        text = _INVISIBLE.sub("", text)
        if _LOOKALIKE.search(text) and _MIXED_SCRIPTS.search(text):
            text = _WORD.sub(_to_latin, text)
    return text


def _restore(text: str, substituted: bool, spaced: bool, repeated: bool) -> str:
    """Undo the given kinds of obfuscation."""
    if substituted:
        text = _SUBSTITUTED.sub(_restore_letters, text)
    if spaced:
        text = _SPACED.sub(lambda match: _SEPARATOR.sub("", match[0]), text)
    if substituted or spaced or repeated:  # The first two may bring equal letters together.
        text = _REPEATED.sub(_shorten, text)
    return text


def _find_obfuscations(texts: Sequence[str]) -> tuple[Flags, Flags, Flags]:
    """True, per text, for each of: it may contain substituted letters, spaced words, repeated letters.

    Array operations over all texts, faster than the regular expressions, which rarely match. False positives
    are possible, false negatives are not.
    """
    codes = code_points("".join(f"{text}{_GAP}" for text in texts))
    starts = np.fromiter(accumulate((len(text) + len(_GAP) for text in texts), initial=0), np.int64)
    roles = _roles().take(codes)
    letter, substitute, separator = (
        roles & role != 0 for role in (_IS_LETTER, _IS_SUBSTITUTE, _IS_SEPARATOR)
    )
    either, separated_letter = letter | substitute, separator[:-2] & letter[1:-1]
    same = codes[1:] == codes[:-1]

    def occurs(places: Flags) -> Flags:
        found = np.zeros(len(texts), np.bool_)
        found[Groups(starts).owners_of(nonzero_indices(places))] = True
        return found

    return (
        occurs(letter[:-3] & substitute[1:-2] & (letter[2:-1] | substitute[2:-1] & either[3:])),
        occurs(separated_letter[:-2] & separated_letter[2:] & ~letter[4:]),
        occurs(same[1:] & same[:-1] & letter[2:]),
    )


@cache
def _roles() -> NDArray[np.uint8]:
    """Bit mask of the roles of each code point in an obfuscated word."""
    classes = character_table().classes
    roles = np.where(classes & (WORDLIKE | DIGIT | MARK) == WORDLIKE, _IS_LETTER, 0).astype(np.uint8)
    roles[[ord(character) for character in _SUBSTITUTES]] |= _IS_SUBSTITUTE
    roles[[ord(character) for character in _SEPARATORS]] |= _IS_SEPARATOR
    return roles


def _to_latin(match: re.Match[str]) -> str:
    """Replace lookalikes in a word that mixes scripts."""
    word = match[0]
    return word.translate(_LATIN_FOR_LOOKALIKE) if _MIXED_SCRIPTS.search(word) else word


def _restore_letters(match: re.Match[str]) -> str:
    """Replace substitutes by the letters they represent, inside words only."""
    inside = match.start() > 0 and match.string[match.start() - 1].isalpha()
    return match[0].translate(_LETTER_FOR_SUBSTITUTE) if inside else match[0]


def _shorten(match: re.Match[str]) -> str:
    """Shorten a run of one letter."""
    letter = match[1]
    return letter * (2 if letter in "gls" else 1) if letter.isalpha() else match[0]

"""Spelling by which words slip past those who look for them, undone."""

import re
import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.characters import DIGIT, MARK, WORDLIKE, table
from pipeline.analysis.hashes import code_points

_INVISIBLE = re.compile("[\\u00ad\\u200b-\\u200f\\u2060\\ufeff]")
_LOOKALIKE = re.compile("[асеіјорѕхуԁνοα]")
_MIXED_SCRIPTS = re.compile("[a-z][а-яіјѕԁο]|[а-яіјѕԁο][a-z]")
_LOOKALIKES = str.maketrans("асеіјорѕхуԁνοαмтнкв", "aceijopsxydvoamthkb")
_WORD = re.compile(r"\w+")
_STAND_IN = re.compile(r"[@$!*013457]+(?=[^\W\d_])")
_LETTERS = str.maketrans("@$!013457", "asioieast", "*")
_SPACED = re.compile(r"\b[^\W\d_](?:[ .*_-][^\W\d_]\b){2,}")
_BETWEEN = re.compile("[ .*_-]")
_STRETCHED = re.compile(r"(.)\1\1+")
_LETTER, _STANDS_IN, _STANDS_BETWEEN = 1, 2, 4


def undisguise(text: str) -> str:
    """The text in lower case with the letters that are meant: sh1t, f u c k, b.i.t.c.h, whooore, lookalikes.

    Masked letters (f*ck) are left out. Of a letter three or more times in a row one stays, of g, l and s two.
    """
    text = text.lower()
    if not text.isascii():
        text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
        if _LOOKALIKE.search(text) and _MIXED_SCRIPTS.search(text):
            text = _WORD.sub(_one_script, text)
    has_stand_ins, has_spaced, has_stretched = _disguises(text)
    if has_stand_ins:
        text = _STAND_IN.sub(_meant, text)
    if has_spaced:
        text = _SPACED.sub(lambda match: _BETWEEN.sub("", match[0]), text)
    if has_stand_ins or has_spaced or has_stretched:  # Without the former, letters may stand together.
        text = _STRETCHED.sub(_unstretched, text)
    return text


def _disguises(text: str) -> tuple[bool, bool, bool]:
    """Whether there may be stand-ins, spaced and stretched words: seldom, and so told faster than sought."""
    codes = code_points(f"{text}    ")
    roles = _roles().take(codes)
    letter, stand_in, between = (roles & role != 0 for role in (_LETTER, _STANDS_IN, _STANDS_BETWEEN))
    meant, pairs = letter | stand_in, between[:-2] & letter[1:-1]
    same = codes[1:] == codes[:-1]
    return (
        bool((letter[:-3] & stand_in[1:-2] & (letter[2:-1] | stand_in[2:-1] & meant[3:])).any()),
        bool((pairs[:-2] & pairs[2:] & ~letter[4:]).any()),
        bool((same[1:] & same[:-1] & letter[2:]).any()),
    )


@cache
def _roles() -> NDArray[np.uint8]:
    """Of each code point, what it may be in a word in disguise."""
    kinds = table().kinds
    roles = np.where(kinds & (WORDLIKE | DIGIT | MARK) == WORDLIKE, _LETTER, 0).astype(np.uint8)
    roles[[ord(sign) for sign in "@$!*013457"]] |= _STANDS_IN
    roles[[ord(sign) for sign in " .*_-"]] |= _STANDS_BETWEEN
    return roles


def _one_script(match: re.Match[str]) -> str:
    word = match[0]
    return word.translate(_LOOKALIKES) if _MIXED_SCRIPTS.search(word) else word


def _unstretched(match: re.Match[str]) -> str:
    letter = match[1]
    return letter * (2 if letter in "gls" else 1) if letter.isalpha() else match[0]


def _meant(match: re.Match[str]) -> str:
    within = match.start() > 0 and match.string[match.start() - 1].isalpha()
    return match[0].translate(_LETTERS) if within else match[0]

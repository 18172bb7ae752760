"""Classes of every Unicode character, as one lookup table."""

import hashlib
import sys
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.array_cache import cached_array
from core.resources import read_text
from pipeline.analysis import words
from pipeline.analysis.arrays import Codes

CharClasses = NDArray[np.uint32]
"""Bitmasks of the classes below, one per code point."""

WHITE, BREAK, LETTER, DIGIT, WORDLIKE, MARK, UNSPACED, LOWERCASE = (1 << bit for bit in range(8))
"""White space; line break of ``str.splitlines``; letter; ASCII digit; letter, number or mark; combining mark;
letter of a script written without spaces; lower-case letter, or a letter of a script without case."""
OPENING, CLOSING, HYPHEN, APOSTROPHE, JOINER, UNCLASSIFIED_LETTER = (1 << bit for bit in range(8, 14))
"""Sign that is split off the front of a segment, or off its end; that joins words, parts of a word, or
digits; letter that the rules for hyphens and full stops do not list."""
PUNCTUATION, TERMINAL, SYMBOL = (1 << bit for bit in range(14, 17))
"""Punctuation by Unicode category; sentence terminal; character that makes no word in datatrove's count."""
BITS = 17

_UNSPACED_RANGES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3400, 0x9FFF),  # Han
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),
    (0x20000, 0x323AF),
)
_INVISIBLE_WITHIN_WORDS = "\u00ad\u200c\u200d"  # soft hyphen, zero-width non-joiner and joiner
_SIGNS = (
    (DIGIT, "0123456789"),
    (OPENING, "(\"'“‘«[<*#&_$£€„¿¡{"),
    (CLOSING, ",;:!?)\"'”’»]>*…}._%"),
    (HYPHEN, "-"),
    (APOSTROPHE, "'’"),
    (JOINER, ".,:/"),
)
_SYMBOLS = "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"
_CONTROLS = (*range(9), *range(11, 13), *range(13, 32), *range(127, 160))


@dataclass(frozen=True, slots=True, eq=False)
class CharacterTable:
    """Properties per code point."""

    classes: CharClasses
    lower: Codes
    """The lower-case character if it is a single one, else the character itself."""


@cache
def character_table() -> CharacterTable:
    """Return the table for this Python's Unicode version."""
    classes, lower = cached_table("characters", _build_table)
    return CharacterTable(classes, lower)


def cached_table(
    name: str, build: Callable[[], NDArray[Any]], package: str = "pipeline.analysis"
) -> NDArray[Any]:
    """Return a table over all code points, which is built once per machine and version of ``package``."""
    files = sorted(resources.files(package).iterdir(), key=lambda file: file.name)
    digest = hashlib.blake2b(unicodedata.unidata_version.encode(), digest_size=8)
    for file in files:
        if file.is_file():
            digest.update(file.read_bytes())
    return cached_array(f"{name}-{digest.hexdigest()}", build)


def _build_table() -> Codes:
    """Return the classes and the lower case of every code point, uint32[2, code points]. Takes 0.7 s."""
    characters = [chr(code) for code in range(sys.maxunicode + 1)]
    by_category = {"L": LETTER | WORDLIKE, "M": MARK | WORDLIKE, "N": WORDLIKE}
    first = (by_category.get(unicodedata.category(character)[0], 0) for character in characters)
    classes = np.fromiter(first, np.uint32, len(characters))

    def add(bit: int, members: Iterable[str]) -> None:
        classes[[ord(character) for character in members]] |= bit

    add(WHITE, filter(str.isspace, characters))
    add(BREAK, (character for character in characters if character.isspace() and _is_line_break(character)))
    add(MARK | WORDLIKE, _INVISIBLE_WITHIN_WORDS)
    add(PUNCTUATION, (character for character in characters if unicodedata.category(character)[0] == "P"))
    add(TERMINAL, sentence_terminals())
    add(SYMBOL, (*sentence_terminals(), *_SYMBOLS, *map(chr, _CONTROLS)))
    add(LOWERCASE, filter(words.lowercase_letter().match, characters))
    add(
        UNCLASSIFIED_LETTER,
        (letter for letter in filter(str.isalpha, characters) if not words.letter().match(letter)),
    )
    for bit, signs in _SIGNS:
        add(bit, signs)
    for start, end in _UNSPACED_RANGES:
        block = classes[start : end + 1]
        block[block & LETTER != 0] |= UNSPACED
    lower = np.arange(len(characters), dtype=np.uint32)
    for code, character in enumerate(characters):
        if len(lowered := character.lower()) == 1:
            lower[code] = ord(lowered)
    return np.stack([classes, lower])


@cache
def sentence_terminals() -> frozenset[str]:
    """Return the characters that end sentences, in all scripts."""
    data = read_text("pipeline.analysis", "sentence_terminals.txt")
    rows = [line.partition("#")[0].split() for line in data.splitlines()]
    return frozenset(chr(int(code, 16)) for row in rows for code in row)


def _is_line_break(character: str) -> bool:
    return len(f"a{character}b".splitlines()) > 1

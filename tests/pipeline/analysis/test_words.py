"""Against spaCy's blank English pipeline, whose rules these are."""

from functools import cache

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokenizer import Tokenizer

from pipeline.analysis import words

PARTS = st.sampled_from(
    [
        *"aZé9漢かก.,:;!?'’\"“”()[]{}<>-–—/=+*%$€#&@_…°²·。、「」´®😀\u0301\u200d",
        *("--", "...", "……", "don't", "it’s", "U.S.", "e.g.", "Mr.", "10am", "8)", ":-)", "'s", "km", "US$"),
        *("www.", "example.org", "http://", "user@", "word", "Word", "WORD", "ſ", "Ж", "ж", "א", "१", "Ⅳ"),
    ]
)
PIECES = st.lists(PARTS, min_size=1, max_size=8).map("".join) | st.text(min_size=1, max_size=12)


@cache
def tokenizer() -> Tokenizer:
    return spacy.blank("en").tokenizer


def is_decided(piece: str) -> bool:
    """Where signs that make several emoticons overlap, spaCy's matcher has its own ways."""
    signs = [word for word in words.exceptions() if not any(map(str.isalnum, word)) and len(word) > 1]
    return sum(piece.startswith(sign, place) for sign in signs for place in range(len(piece))) < 2


@given(PIECES.filter(lambda piece: piece == "".join(piece.split()) and is_decided(piece)))
def test_pieces_are_cut_as_spacy_cuts_them(piece: str) -> None:
    wanted = tuple(len(token.text) for token in tokenizer()(piece))
    assert words.token_lengths(piece) == wanted


def test_the_exceptions_are_spacys() -> None:
    rules = {piece: tuple(len(part[65]) for part in parts) for piece, parts in tokenizer().rules.items()}
    ours = {piece: words.token_lengths(piece) for piece in words.exceptions()}
    assert ours == {piece: lengths for piece, lengths in rules.items() if piece.strip()}


@pytest.mark.parametrize("piece", ["a" * 200_000, "." * 200_000, "a@" * 100_000, "a." * 5_000, "-" * 9_000])
def test_long_pieces_take_no_longer_than_they_are_long(piece: str) -> None:
    assert sum(words.token_lengths(piece)) == len(piece)

"""Compare the tokenizer with its model: spaCy's blank English pipeline."""

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
SEGMENTS = st.lists(PARTS, min_size=1, max_size=8).map("".join) | st.text(min_size=1, max_size=12)


@cache
def tokenizer() -> Tokenizer:
    return spacy.blank("en").tokenizer


def is_unambiguous(segment: str) -> bool:
    """Return False if several emoticons overlap, which spaCy's matcher resolves differently."""
    signs = [word for word in words.exceptions() if not any(map(str.isalnum, word)) and len(word) > 1]
    return sum(segment.startswith(sign, start) for sign in signs for start in range(len(segment))) < 2


@given(SEGMENTS.filter(lambda segment: segment == "".join(segment.split()) and is_unambiguous(segment)))
def test_tokens_match_spacy(segment: str) -> None:
    expected = tuple(len(token.text) for token in tokenizer()(segment))
    assert words.token_lengths(segment) == expected


def test_exceptions_match_spacy() -> None:
    rules = {segment: tuple(len(part[65]) for part in parts) for segment, parts in tokenizer().rules.items()}
    ours = {segment: words.token_lengths(segment) for segment in words.exceptions()}
    assert ours == {segment: lengths for segment, lengths in rules.items() if segment.strip()}


@pytest.mark.parametrize("segment", ["a" * 200_000, "." * 200_000, "a@" * 100_000, "a." * 5_000, "-" * 9_000])
def test_long_segments_take_linear_time(segment: str) -> None:
    assert sum(words.token_lengths(segment)) == len(segment)

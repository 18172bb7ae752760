import re
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis import Spans, analyse, hash_words, line_hashes, ngram_hashes

INVISIBLE = "\u00ad\u200c\u200d"
TEXTS = st.text(st.sampled_from("abAB09.,'’-_/: \n\t\r漢กé\u0301\u00ad\ud800😀"), max_size=60) | st.text()


def pieces(text: str, spans: Spans) -> list[str]:
    return [text[start:end] for start, end in zip(spans.starts, spans.ends, strict=True)]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        (" \n\t\x00", []),
        ("Don't stop", ["Don", "'t", "stop"]),
        ("l’homme 'quoted'", ["l", "’homme", "'", "quoted", "'"]),
        ("3.14, 1,000 and a,b", ["3.14", ",", "1,000", "and", "a", ",", "b"]),
        ("The U.S. says... so..", ["The", "U.S", ".", "says", "...", "so", ".."]),
        ("COVID-19 is well-known", ["COVID-19", "is", "well", "-", "known"]),
        ("at 10:30 1/2 and/or snake_case", ["at", "10:30", "1/2", "and", "/", "or", "snake_case"]),
        ("(a)!!", ["(", "a", ")", "!", "!"]),
        ("漢字 กา かな", ["漢", "字", "ก", "า", "か", "な"]),
        ("e\u0301te\u0301 co\u00adop", ["e\u0301te\u0301", "co\u00adop"]),
        (".a. -1", [".", "a", ".", "-", "1"]),
    ],
)
def test_tokens(text: str, tokens: list[str]) -> None:
    assert pieces(text, analyse(text).tokens) == tokens


@given(TEXTS)
def test_spans_are_those_of_string_methods(text: str) -> None:
    analysis = analyse(text)
    assert pieces(text, analysis.lines) == text.split("\n")
    assert pieces(text, analysis.paragraphs) == re.split(r"\n{2,}", text.strip())
    assert analysis.line_is_blank.tolist() == [not line.strip() for line in text.split("\n")]


@given(TEXTS)
def test_tokens_cover_everything_but_space(text: str) -> None:
    analysis = analyse(text)
    tokens = pieces(text, analysis.tokens)
    shown = [character for character in text if unicodedata.category(character)[0] in "LMNPS"]
    assert [character for character in "".join(tokens) if character not in INVISIBLE] == shown
    assert analysis.has_letter.tolist() == [any(map(str.isalpha, token)) for token in tokens]
    assert not any(any(map(str.isalnum, token)) for token in np.array(tokens)[~analysis.is_word])


@given(st.lists(st.text(st.characters(categories=["L"], max_codepoint=0x24F), min_size=1, max_size=5)))
def test_equal_hashes_mean_equal_strings(words: list[str]) -> None:
    analysis = analyse(" ".join(words))
    hashes = analysis.tokens.hashes.tolist()
    assert len(set(zip(words, hashes, strict=True))) == len(set(words)) == len(set(hashes))
    assert analysis.word_hashes.tolist() == hash_words(words).tolist()


@given(TEXTS, TEXTS)
def test_hashes_do_not_depend_on_position(before: str, text: str) -> None:
    alone, after = analyse(text), analyse(f"{before}\n\n{text}")
    count = len(alone.word_hashes)
    assert after.word_hashes[len(after.word_hashes) - count :].tolist() == alone.word_hashes.tolist()
    assert after.lines.hashes[-len(alone.lines) :].tolist() == alone.lines.hashes.tolist()


def test_words_are_hashed_in_lower_case() -> None:
    assert analyse("The THE the").word_hashes.tolist() == hash_words(["the"]).tolist() * 3
    assert len(set(analyse("The THE the").tokens.hashes.tolist())) == 3


def test_hashes_are_the_same_in_every_process() -> None:
    """The figures are part of the published format: MinHash keys depend on them."""
    script = "from pipeline.analysis import analyse; print(analyse('Some words, élan').word_hashes.tolist())"
    command = [sys.executable, "-c", script]
    elsewhere = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert elsewhere == "[12951581136611898380, 5598054855401954742, 11893491080312339309]"


def test_lines_of_bytes_hash_like_words() -> None:
    data = np.frombuffer(b"example.com\nabc", np.uint8)
    assert line_hashes(data).tolist() == hash_words(["example.com", "abc"]).tolist()


@given(st.lists(st.sampled_from("abc"), max_size=12), st.integers(1, 5))
def test_ngram_hashes_tell_ngrams_apart(words: list[str], n: int) -> None:
    hashes = ngram_hashes(hash_words(words), n).tolist()
    ngrams = [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
    assert len(hashes) == len(ngrams) and len(set(hashes)) == len(set(ngrams))
    assert len(set(zip(ngrams, hashes, strict=True))) == len(set(ngrams))


def test_a_long_text() -> None:
    text = "word " * 100_000
    analysis = analyse(text)
    assert len(analysis.word_hashes) == 100_000 and len(set(analysis.word_hashes.tolist())) == 1

import re
import subprocess
import sys
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis import (
    Spans,
    analyse,
    analyse_together,
    batches,
    hash_words,
    line_hashes,
    ngram_hashes,
    suffix_hashes,
)
from pipeline.analysis.words import token_lengths

SIGNS = st.text(st.sampled_from("abAB09.,'’-_/:;()$%<>=sdn \n\t\r漢กé\u0301\u00ad\ud800😀"), max_size=60)
WORDS = [
    "Mr.",
    "don't",
    "U.S.",
    "e.g.",
    "8)",
    ":-)",
    "10am",
    "it’s",
    "x-ray",
    "www.a.org",
    " ",
    "(",
    ".",
    ",",
    "...",
]
TEXTS = SIGNS | st.text() | st.lists(st.sampled_from(WORDS)).map("".join)

SPANS = {
    "segments": "segment_groups",
    "tokens": "token_groups",
    "words": "word_groups",
    "lines": "line_groups",
    "split_lines": "split_line_groups",
    "paragraphs": "paragraph_groups",
}
"""Kinds of spans, and their groups."""


def parts(text: str, spans: Spans) -> list[str]:
    return [text[start:end] for start, end in zip(spans.starts, spans.ends, strict=True)]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        (" \n\t", []),
        ("Don't stop", ["Do", "n't", "stop"]),
        ("l’homme 'quoted' Anna's", ["l’homme", "'", "quoted", "'", "Anna", "'s"]),
        ("3.14, 1,000 and a,b", ["3.14", ",", "1,000", "and", "a", ",", "b"]),
        ("The U.S. says... so..", ["The", "U.S.", "says", "...", "so", ".."]),
        ("COVID-19 is well-known.", ["COVID-19", "is", "well", "-", "known", "."]),
        ("at 10:30 1/2 and/or snake_case", ["at", "10:30", "1/2", "and/or", "snake_case"]),
        ("(a)!! 50% 5kg", ["(", "a", ")", "!", "!", "50", "%", "5", "kg"]),
        ("漢字。กา かな", ["漢", "字", "。", "ก", "า", "か", "な"]),
        ("e\u0301te\u0301 co\u00adop", ["e\u0301te\u0301", "co\u00adop"]),
        (".a. -1 see www.example.org/a,b.", [".a", ".", "-1", "see", "www.example.org/a,b", "."]),
    ],
)
def test_tokens(text: str, tokens: list[str]) -> None:
    assert parts(text, analyse(text).tokens) == tokens


@given(TEXTS)
def test_lines_and_paragraphs_match_string_methods(text: str) -> None:
    analysis = analyse(text)
    assert parts(text, analysis.lines) == text.split("\n")
    assert parts(text, analysis.paragraphs) == re.split(r"\n{2,}", text.strip())
    assert analysis.line_is_blank.tolist() == [not line.strip() for line in text.split("\n")]


def test_unspaced_scripts_are_split_on_request() -> None:
    clauses = analyse("漢字abc。กา\n漢字、かな", split_unspaced=False)
    assert parts(clauses.text, clauses.tokens) == ["漢字abc。กา", "漢字、かな"]
    assert clauses.word_hashes.tolist() == analyse(clauses.text).word_hashes.tolist()


@given(TEXTS, st.booleans())
def test_tokens_match_the_rules(text: str, split_unspaced: bool) -> None:
    analysis = analyse(text, split_unspaced=split_unspaced)
    tokens = parts(text, analysis.tokens)
    assert "".join(tokens) == "".join(text.split())
    assert analysis.has_letter.tolist() == [any(map(str.isalpha, token)) for token in tokens]
    assert not any(any(map(str.isalnum, token)) for token in np.array(tokens)[~analysis.is_word])
    if not split_unspaced:
        assert tokens == [token for segment in text.split() for token in by_rules(segment)]


def by_rules(segment: str) -> list[str]:
    edges = [0, *accumulate(token_lengths(segment))]
    return [segment[start:end] for start, end in pairwise(edges)]


@given(TEXTS | st.text(st.sampled_from("ab .\n\r\x0b\x1c\x85\u2028")))
def test_split_lines_match_str_splitlines(text: str) -> None:
    analysis = analyse(text)
    lines, segments = analysis.split_lines, analysis.segments
    spans = zip(lines.starts, lines.ends, lines.first_segment, lines.end_segment, strict=True)
    assert [
        (text[start:end], [text[segments.starts[i] : segments.ends[i]] for i in range(first, past)])
        for start, end, first, past in spans
    ] == [(line, line.split()) for line in text.splitlines()]


@given(st.lists(st.text(st.characters(categories=["L"], max_codepoint=0x24F), min_size=1, max_size=5)))
def test_hashes_are_equal_only_for_equal_strings(words: list[str]) -> None:
    text = " ".join(words)
    analysis = analyse(text)
    tokens, hashes = parts(text, analysis.tokens), analysis.tokens.hashes.tolist()
    assert "".join(tokens) == "".join(words)  # some words are two tokens, such as "Id"
    assert len(set(zip(tokens, hashes, strict=True))) == len(set(tokens)) == len(set(hashes))
    assert analysis.word_hashes.tolist() == hash_words(tokens).tolist()


@given(TEXTS, TEXTS)
def test_hashes_do_not_depend_on_position(before: str, text: str) -> None:
    alone, after = analyse(text), analyse(f"{before}\n\n{text}")
    count = len(alone.word_hashes)
    assert after.word_hashes[len(after.word_hashes) - count :].tolist() == alone.word_hashes.tolist()
    assert after.lines.hashes[-len(alone.lines) :].tolist() == alone.lines.hashes.tolist()


@given(
    st.lists(TEXTS | st.text(st.sampled_from("aB .İ\n\r\x0b\x1c\x85漢")), min_size=1, max_size=6),
    st.booleans(),
)
def test_texts_analysed_together_are_as_alone(texts: list[str], split_unspaced: bool) -> None:
    together = analyse_together(texts, split_unspaced=split_unspaced)
    for index, (text, start) in enumerate(zip(texts, together.text_starts.tolist(), strict=True)):
        alone = analyse(text, split_unspaced=split_unspaced)
        for name, groups in SPANS.items():
            first, past = getattr(together, groups).bounds[index : index + 2]
            spans, expected = getattr(together, name), getattr(alone, name)
            assert (spans.starts[first:past] - start).tolist() == expected.starts.tolist()
            assert (spans.ends[first:past] - start).tolist() == expected.ends.tolist()
            if isinstance(spans, Spans):
                assert spans.hashes[first:past].tolist() == expected.hashes.tolist()
        first, past = together.token_groups.bounds[index : index + 2]
        assert together.is_word[first:past].tolist() == alone.is_word.tolist()
        assert together.has_letter[first:past].tolist() == alone.has_letter.tolist()
        assert together.word_hashes_of(index).tolist() == alone.word_hashes.tolist()
        assert together.lowered()[start : start + len(text)] == text.replace("İ", "i").lower()


@given(st.lists(st.integers(0, 50).map("x".__mul__)))
def test_batches_are_bounded_and_complete(texts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pipeline.analysis.document_analysis.BATCH_CHARACTERS", 40)
        parts = [texts[part] for part in batches(texts)]
    assert [text for part in parts for text in part] == texts
    assert all(part and (len(part) == 1 or sum(map(len, part)) <= 40) for part in parts)
    assert all(sum(map(len, one)) + len(one) + len(two[0]) > 40 for one, two in pairwise(parts))


def test_only_the_dotted_i_is_longer_in_lower_case() -> None:
    assert [chr(code) for code in range(0x110000) if len(chr(code).lower()) > 1] == ["İ"]


def test_words_are_hashed_in_lower_case() -> None:
    assert analyse("The THE the").word_hashes.tolist() == hash_words(["the"]).tolist() * 3
    assert len(set(analyse("The THE the").tokens.hashes.tolist())) == 3


def test_hashes_are_stable_across_processes() -> None:
    """The values are part of the published format: MinHash keys depend on them."""
    script = "from pipeline.analysis import analyse; print(analyse('Some words, élan').word_hashes.tolist())"
    command = [sys.executable, "-c", script]
    other_process = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert other_process == "[12951581136611898380, 5598054855401954742, 11893491080312339309]"


def test_line_hashes_equal_word_hashes() -> None:
    data = np.frombuffer(b"example.com\nabc", np.uint8)
    assert line_hashes(data).tolist() == hash_words(["example.com", "abc"]).tolist()


def test_suffix_hashes_equal_word_hashes() -> None:
    assert suffix_hashes(b"a.example.com", [0, 2, 10]).tolist() == (
        hash_words(["a.example.com", "example.com", "com"]).tolist()
    )


@given(st.lists(st.sampled_from("abc"), max_size=12), st.integers(1, 5))
def test_ngram_hashes_distinguish_ngrams(words: list[str], n: int) -> None:
    hashes = ngram_hashes(hash_words(words), n).tolist()
    ngrams = [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
    assert len(hashes) == len(ngrams) and len(set(hashes)) == len(set(ngrams))
    assert len(set(zip(ngrams, hashes, strict=True))) == len(set(ngrams))


def test_long_text() -> None:
    text = "word " * 100_000
    analysis = analyse(text)
    assert len(analysis.word_hashes) == 100_000 and len(set(analysis.word_hashes.tolist())) == 1

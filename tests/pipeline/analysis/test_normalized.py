import unicodedata

import pytest
from datatrove.utils.text import simplify_text
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis.normalized import normalized_words

TEXTS = st.lists(st.text(st.sampled_from("aB é\u0301Éß1٣.,،٫-'漢字ไทย\n\t한_İ")), max_size=6)


def words(text):
    """Return the words of a text as they stand in it."""
    found = normalized_words([text])
    return [text[start:end] for start, end in zip(found.starts, found.ends, strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop-me_now", ["Don", "t", "stop", "me", "now"]),
        ("3.14 and 1.2.3.4", ["3.14", "and", "1.2", "3.4"]),
        ("1,000,000 x10,5y", ["1,000", "000", "x10,5y"]),
        ("漢字 and ไทย", ["漢", "字", "and", "ไ", "ท", "ย"]),
        ("e\u0301te\u0301", ["e\u0301te\u0301"]),
        (" .\n", []),
        ("", []),
    ],
)
def test_words_are_runs_of_letters_and_numbers(text, expected):
    assert words(text) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Café", "CAFE\u0301"),
        ("Straße", "straße"),
        ("year 1999", "Year 2024"),
        ("3.14", "7"),
        ("٣٤", "12"),
        ("İstanbul", "istanbul"),
        ("soft\u00adware", "software"),
    ],
)
def test_case_accents_and_numbers_do_not_count(one, other):
    first, second = normalized_words([one, other]).of_text(0), normalized_words([one, other]).of_text(1)
    assert first.tolist() == second.tolist()


@given(TEXTS)
def test_words_do_not_depend_on_the_batch(texts):
    found = normalized_words(texts)
    assert len(found.offsets) == len(texts) + 1 and found.offsets[-1] == len(found.hashes)
    for index, text in enumerate(texts):
        alone = normalized_words([text])
        first, last = found.offsets[index : index + 2]
        for column in ("hashes", "starts", "ends"):
            assert getattr(found, column)[first:last].tolist() == getattr(alone, column).tolist()


@given(st.text(st.sampled_from("aBéÉ1٣.,- '\nßk\u0301")))
def test_words_are_those_of_datatrove(text):
    """In scripts with spaces. datatrove removes accents last, when they may have separated numbers."""
    composed = unicodedata.normalize("NFC", text).replace("\u0301", "")
    expected = simplify_text(composed).split()
    assert len(words(composed)) == len(expected)
    hashes = normalized_words([composed, " ".join(expected)])
    assert hashes.of_text(0).tolist() == hashes.of_text(1).tolist()


def test_long_batches_are_processed_in_parts(monkeypatch):
    texts = ["one two", "", "three " * 50, "four"]
    whole = normalized_words(texts)
    monkeypatch.setattr("pipeline.analysis.normalized._MAX_CHARACTERS", 10)
    parts = normalized_words(texts)
    assert parts.hashes.tolist() == whole.hashes.tolist() and parts.offsets.tolist() == whole.offsets.tolist()
    assert normalized_words([]).offsets.tolist() == [0]

"""Blocked words are never released, however a text is split."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serve.safety.blocked_words import BlockedWordFilter, BlockedWords, fold

WORDS = ["damn", "Straße", "two  words", "two words more", "naïve", "ano", "秘密", "x", "İz"]
BLOCKED = BlockedWords(WORDS)


def filtered(chunks: list[str], words: BlockedWords = BLOCKED) -> tuple[str, bool]:
    """Return the released text, and True if the filter blocked the rest."""
    word_filter = BlockedWordFilter(words)
    released = "".join([word_filter.push(chunk) for chunk in chunks])
    return released + word_filter.flush(), word_filter.blocked


@pytest.mark.parametrize(
    ("text", "released"),
    [
        ("well, damn it", "well, "),
        ("DAMN", ""),
        ("in der STRASSE dort", "in der "),
        ("in der straße", "in der "),
        ("ｄａｍｎ!", ""),
        ("da\u200bmn \u00adit", ""),
        ("say two \n\t words", "say "),
        ("two words more or less", ""),
        ("nai\u0308ve na\u00efve", ""),
        ("这是秘密吗", "这是"),
        ("a x.", "a "),
        ("i\u0307z", ""),
    ],
)
def test_blocked_word_is_found_in_every_split(text: str, released: str) -> None:
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            out, blocked = filtered([text[:first], text[first:second], text[second:]])
            assert blocked
            assert out == released
    assert filtered(list(text)) == (released, True)


@pytest.mark.parametrize(
    "text",
    ["goddamn damned", "Straßen", "two. words", "a\u00f1o an\u0303o", "naive", "xx _x x1", "", "twowords"],
)
def test_similar_words_are_released(text: str) -> None:
    for cut in range(len(text) + 1):
        assert filtered([text[:cut], text[cut:]]) == (text, False)
    assert filtered(list(text)) == (text, False)


letters = st.sampled_from("aAbBßsSéeı iI\u0130\u0301\u0307\u200b\u00ad-. \n秘ｂ_1")
texts = st.lists(letters, max_size=20).map("".join)


@given(st.lists(st.lists(letters, min_size=1, max_size=4).map("".join), max_size=4), texts, st.data())
@example(["ab", "a"], "ab", None)
def test_released_text_is_independent_of_the_split(
    words: list[str], text: str, data: st.DataObject | None
) -> None:
    blocked_words = BlockedWords(words)
    unsplit = filtered([text], blocked_words)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8))) if data else [1]
    chunks = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert filtered(chunks, blocked_words) == unsplit
    assert filtered(list(text), blocked_words) == unsplit
    released, blocked = unsplit
    assert text.startswith(released)
    assert blocked or released == text
    assert not blocked_words.found_in(released)
    assert blocked_words.found_in(text) == blocked


@given(texts, st.lists(letters, min_size=1, max_size=5).map("".join), texts)
def test_word_between_spaces_is_found(before: str, word: str, after: str) -> None:
    blocked = BlockedWords([word])
    for form in (word, word.upper(), word.casefold()):
        assert not blocked or blocked.found_in(f"{before} {form} {after}") or fold(form) != fold(word)


def test_text_is_not_held_back_longer_than_necessary() -> None:
    word_filter = BlockedWordFilter(BLOCKED)
    assert [word_filter.push(chunk) for chunk in ("He", "llo d", "ay, da", "m", " is", " two")] == [
        "He",
        "llo ",
        "day, ",
        "",
        "dam is",
        " ",
    ]
    assert word_filter.flush() == "two"

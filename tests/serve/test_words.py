"""A blocked word never gets out, wherever the pieces of a text end."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serve.words import BlockedWords, Gate, fold

WORDS = ["damn", "Straße", "two  words", "two words more", "naïve", "ano", "秘密", "x", "İz"]
BLOCKED = BlockedWords(WORDS)


def through(pieces: list[str], words: BlockedWords = BLOCKED) -> tuple[str, bool]:
    """What comes out of a gate, and whether it shut."""
    gate = Gate(words)
    out = "".join([gate.push(piece) for piece in pieces])
    return out + gate.flush(), gate.blocked


@pytest.mark.parametrize(
    ("text", "passed"),
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
def test_every_split_of_a_text_with_a_blocked_word(text: str, passed: str) -> None:
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            out, blocked = through([text[:first], text[first:second], text[second:]])
            assert blocked
            assert out == passed
    assert through(list(text)) == (passed, True)


@pytest.mark.parametrize(
    "text",
    ["goddamn damned", "Straßen", "two. words", "a\u00f1o an\u0303o", "naive", "xx _x x1", "", "twowords"],
)
def test_what_only_looks_like_one_passes_whole(text: str) -> None:
    for cut in range(len(text) + 1):
        assert through([text[:cut], text[cut:]]) == (text, False)
    assert through(list(text)) == (text, False)


letters = st.sampled_from("aAbBßsSéeı iI\u0130\u0301\u0307\u200b\u00ad-. \n秘ｂ_1")
texts = st.lists(letters, max_size=20).map("".join)


@given(st.lists(st.lists(letters, min_size=1, max_size=4).map("".join), max_size=4), texts, st.data())
@example(["ab", "a"], "ab", None)
def test_pieces_change_nothing(words: list[str], text: str, data: st.DataObject | None) -> None:
    """However a text is cut, what comes out is the same; and no blocked word stands in it."""
    blocked = BlockedWords(words)
    whole = through([text], blocked)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8))) if data else [1]
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert through(pieces, blocked) == whole
    assert through(list(text), blocked) == whole
    out, shut = whole
    assert text.startswith(out)
    assert shut or out == text
    assert not blocked.found(out)
    assert blocked.found(text) == shut


@given(texts, st.lists(letters, min_size=1, max_size=5).map("".join), texts)
def test_a_word_between_spaces_is_found(before: str, word: str, after: str) -> None:
    blocked = BlockedWords([word])
    for form in (word, word.upper(), word.casefold()):
        assert not blocked or blocked.found(f"{before} {form} {after}") or fold(form) != fold(word)


def test_it_is_held_back_no_longer_than_needed() -> None:
    gate = Gate(BLOCKED)
    assert [gate.push(piece) for piece in ("He", "llo d", "ay, da", "m", " is", " two")] == [
        "He",
        "llo ",
        "day, ",
        "",
        "dam is",
        " ",
    ]
    assert gate.flush() == "two"

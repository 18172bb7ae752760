from hypothesis import given
from hypothesis import strategies as st

from pipeline.extraction.html.cues import Cues, cues


def announced(text: str) -> set[str]:
    (bits,) = cues().announced([text])
    return {kind for number, kind in enumerate(cues().kinds) if bits >> number & 1}


def test_headings_and_labels_announce_sections() -> None:
    assert announced("Related articles") == {"related"}
    assert (
        announced("12 Comments") == announced("Leave a reply") == announced("Kommentare (3)") == {"comments"}
    )
    assert announced("3 min read") == announced("December 19, 2025") == {"date"}
    assert announced("© 2026 Mill Ltd. All rights reserved") == {"legal"}
    assert "subscribe" in announced("Never miss a story: sign up!")
    assert announced("猜你喜欢") == {"related"}


def test_phrases_match_whole_words_in_position() -> None:
    assert not announced("Unrelated") | announced("How it is related") | announced("") | announced("…")
    made = Cues(
        {"a": {"starts_with": ["one"], "contains": []}, "b": {"starts_with": [], "contains": ["two three"]}}
    )
    assert made.announced(["One two three", "two one", "TWO-three", "one_two"]) == [3, 0, 2, 1]
    assert made.announced([]) == []


@given(st.lists(st.text(st.characters(exclude_characters="\0"), max_size=30), min_size=1, max_size=5))
def test_texts_are_matched_independently(texts: list[str]) -> None:
    assert cues().announced(texts) == [bits for text in texts for bits in cues().announced([text])]


def test_texts_with_many_kinds_of_marks_are_matched() -> None:
    marks = "".join(map(chr, range(0x2190, 0x2190 + 500)))
    assert announced(f"{marks} Related{marks}articles") == announced("Related articles") == {"related"}


def test_every_cue_phrase_is_matched() -> None:
    data = cues()
    for table, before in ((data._starts_with, ""), (data._contains, "x ")):
        for cue, bits in table.items():
            (found,) = data.announced([before + cue])
            assert found & bits == bits, cue

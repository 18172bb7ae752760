from hypothesis import given
from hypothesis import strategies as st

from pipeline.extraction.html.cues import Cues, cues


def announced(text: str) -> set[str]:
    (bits,) = cues().announced([text])
    return {kind for number, kind in enumerate(cues().kinds) if bits >> number & 1}


def test_headings_and_labels_announce_what_follows() -> None:
    assert announced("Related articles") == {"related"}
    assert (
        announced("12 Comments") == announced("Leave a reply") == announced("Kommentare (3)") == {"comments"}
    )
    assert announced("3 min read") == announced("December 19, 2025") == {"date"}
    assert announced("© 2026 Mill Ltd. All rights reserved") == {"legal"}
    assert "subscribe" in announced("Never miss a story: sign up!")
    assert announced("猜你喜欢") == {"related"}


def test_words_are_whole_and_in_their_place() -> None:
    assert not announced("Unrelated") | announced("How it is related") | announced("") | announced("…")
    made = Cues({"a": {"begins": ["one"], "holds": []}, "b": {"begins": [], "holds": ["two three"]}})
    assert made.announced(["One two three", "two one", "TWO-three", "one_two"]) == [3, 0, 2, 1]
    assert made.announced([]) == []


@given(st.lists(st.text(st.characters(exclude_characters="\0"), max_size=30), min_size=1, max_size=5))
def test_texts_do_not_speak_for_one_another(texts: list[str]) -> None:
    assert cues().announced(texts) == [bits for text in texts for bits in cues().announced([text])]


def test_every_cue_can_be_found() -> None:
    data = cues()
    for table, before in ((data._begins, ""), (data._holds, "x ")):
        for cue, bits in table.items():
            (found,) = data.announced([before + cue])
            assert found & bits == bits, cue

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.filters.toxicity import deobfuscate
from pipeline.filters.toxicity.deobfuscate import deobfuscate as undo


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("sh1t B!tch a$$hole f*ck", "shit bitch asshole fck"),
        ("f u c k you, b.i.t.c.h", "fuck you, bitch"),
        ("whoooore assssss coool", "whore ass col"),
        ("fu\u0441k fu\u200bck ｆｕｃｋ", "fuck fuck fuck"),
        ("Room 101, 3.5 kg, $5, wait... a b", "room 101, 3.5 kg, $5, wait... a b"),
        ("Москва и Athens", "москва и athens"),
    ],
)
def test_plain_spelling_is_restored(text: str, plain: str) -> None:
    assert undo(text) == plain


@given(st.text("ab \n._-*@$!0134é²\u0e01\u0abe\u200d"))
def test_every_obfuscation_is_found(text: str) -> None:
    substituted, spaced, repeated = (
        flags.tolist()[1] for flags in deobfuscate._find_obfuscations(["a", text])
    )
    assert substituted or deobfuscate._SUBSTITUTED.sub(deobfuscate._restore_letters, text) == text
    assert spaced or not deobfuscate._SPACED.search(text)
    assert repeated or deobfuscate._REPEATED.sub(deobfuscate._shorten, text) == text


@given(st.lists(st.text("ab \n._-*@$!0134é²а")))
def test_texts_restored_together_are_as_alone(texts: list[str]) -> None:
    assert deobfuscate.deobfuscate_together(texts) == list(map(undo, texts))

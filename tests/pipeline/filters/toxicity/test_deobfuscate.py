import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.filters.toxicity import deobfuscate
from pipeline.filters.toxicity.deobfuscate import undisguise


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("sh1t B!tch a$$hole f*ck", "shit bitch asshole fck"),
        ("f u c k you, b.i.t.c.h", "fuck you, bitch"),
        ("whoooore assssss coool", "whore ass col"),
        ("fu\u0441k fu\u200bck ｆｕｃｋ", "fuck fuck fuck"),
        ("Room 101, 3.5 kg, $5, wait... a b", "room 101, 3.5 kg, $5, wait... a b"),
        ("Москва и Athens", "москва и athens"),
    ],
)
def test_letters_in_disguise_are_recognized(text: str, meant: str) -> None:
    assert undisguise(text) == meant


@given(st.text("ab \n._-*@$!0134é²\u0e01\u0abe\u200d"))
def test_no_disguise_is_overlooked(text: str) -> None:
    stand_ins, spaced, stretched = deobfuscate._disguises(text)
    assert stand_ins or deobfuscate._STAND_IN.sub(deobfuscate._meant, text) == text
    assert spaced or not deobfuscate._SPACED.search(text)
    assert stretched or deobfuscate._STRETCHED.sub(deobfuscate._unstretched, text) == text

"""Text as it leaves: whole characters, and nothing from a stop string on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Definition
from tokenizers import decoders, models, pre_tokenizers

from serve.text import Detokenizer, StopStrings


class Bytes:
    """A tokenizer of single bytes."""

    def __init__(self) -> None:
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        definition = Definition(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
        definition.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        definition.decoder = decoders.ByteLevel()
        self.definition = definition

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.definition.encode(text).ids
        return ids

    def decode(self, ids: list[int]) -> str:
        return str(self.definition.decode(ids))


BYTES = Bytes()


@given(st.text(max_size=12), st.text(max_size=6))
def test_text_is_told_once_and_whole(text: str, prompt: str) -> None:
    detokenizer = Detokenizer(BYTES, BYTES.encode(prompt))  # type: ignore[arg-type]
    pieces = [detokenizer.push(token) for token in BYTES.encode(text)]
    assert "\ufffd" in text or not any("\ufffd" in piece for piece in pieces)
    assert "".join(pieces) + detokenizer.flush() == text


def test_bytes_that_are_no_text_do_not_hold_up_the_rest() -> None:
    detokenizer = Detokenizer(BYTES, [])  # type: ignore[arg-type]
    lead = BYTES.encode("é")[0]
    pieces = [detokenizer.push(token) for token in [lead] * 20 + BYTES.encode("ok")]
    assert "".join(pieces) + detokenizer.flush() == BYTES.decode([lead] * 20) + "ok"
    assert any(pieces[:12])


@given(
    st.lists(st.text("ab ", max_size=3), max_size=8),
    st.lists(st.text("ab ", min_size=1, max_size=4), max_size=4),
)
def test_stop_strings_cut_exactly(pieces: list[str], strings: list[str]) -> None:
    stopper = StopStrings(strings)
    out = "".join([stopper.push(piece) for piece in pieces]) + stopper.flush()
    text = "".join(pieces)
    ends = [text.find(string) + len(string) for string in strings if string in text]
    assert stopper.met == bool(ends)
    whole = StopStrings(strings)
    assert out == whole.push(text) + whole.flush()
    if not ends:
        assert out == text
    else:
        assert any(out + string == text[: min(ends)] for string in strings)


@pytest.mark.parametrize("size", [1, 2, 3, 30])
def test_the_same_cut_whatever_the_pieces(size: int) -> None:
    text = "one two###three"
    stopper = StopStrings(["##", "three"])
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    assert "".join([stopper.push(piece) for piece in pieces]) + stopper.flush() == "one two"

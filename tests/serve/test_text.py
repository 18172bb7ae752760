"""Streamed text: complete characters only, and nothing from a stop string on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.text import Detokenizer, StopStrings
from tests.serve.server_process import byte_tokenizer

BYTES = byte_tokenizer()


@given(st.text(max_size=12), st.text(max_size=6))
def test_chunks_join_to_the_text_and_hold_complete_characters(text: str, prompt: str) -> None:
    detokenizer = Detokenizer(BYTES, BYTES.encode(prompt))
    chunks = [detokenizer.push(token) for token in BYTES.encode(text)]
    assert "\ufffd" in text or not any("\ufffd" in chunk for chunk in chunks)
    assert "".join(chunks) + detokenizer.flush() == text


def test_invalid_bytes_do_not_hold_back_later_text() -> None:
    detokenizer = Detokenizer(BYTES, [])
    lead = BYTES.encode("é")[0]
    chunks = [detokenizer.push(token) for token in [lead] * 20 + BYTES.encode("ok")]
    assert "".join(chunks) + detokenizer.flush() == BYTES.decode([lead] * 20) + "ok"
    assert any(chunks[:12])


@given(
    st.lists(st.text("ab ", max_size=3), max_size=8),
    st.lists(st.text("ab ", min_size=1, max_size=4), max_size=4),
)
def test_text_ends_at_the_first_complete_stop_string(chunks: list[str], strings: list[str]) -> None:
    stop_strings = StopStrings(strings)
    out = "".join([stop_strings.push(chunk) for chunk in chunks]) + stop_strings.flush()
    text = "".join(chunks)
    ends = [text.find(string) + len(string) for string in strings if string in text]
    assert stop_strings.matched == bool(ends)
    unsplit = StopStrings(strings)
    assert out == unsplit.push(text) + unsplit.flush()
    if not ends:
        assert out == text
    else:
        assert any(out + string == text[: min(ends)] for string in strings)


@pytest.mark.parametrize("size", [1, 2, 3, 30])
def test_chunk_size_does_not_change_the_cut(size: int) -> None:
    text = "one two###three"
    stop_strings = StopStrings(["##", "three"])
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    assert "".join([stop_strings.push(chunk) for chunk in chunks]) + stop_strings.flush() == "one two"

from hypothesis import given
from hypothesis import strategies as st

from pipeline.filters.windows import sample_windows


@given(st.text(max_size=120), st.integers(2, 5), st.integers(1, 9))
def test_windows_are_evenly_spaced_parts_of_the_text(text: str, count: int, length: int) -> None:
    sampled = sample_windows(text, count, length)
    if sampled != text:
        assert len(sampled) == count * length + count - 1
        windows = [sampled[start : start + length] for start in range(0, len(sampled), length + 1)]
        assert all(window in text for window in windows)
        assert windows[0] == text[:length] and windows[-1] == text[-length:]


def test_short_texts_are_returned_unchanged() -> None:
    assert sample_windows("abcdef", 2, 3) == "abcdef"
    assert sample_windows("abcdefg", 2, 3) == "abc efg"

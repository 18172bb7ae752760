import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extraction.wikitext.gaps import GAP, close_gaps


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a _ b", "a b"),
        ("a_ b", "a b"),
        ("a_b", "ab"),
        ("a _, b", "a, b"),
        ("a, _, b", "a, b"),
        ("a: _. B", "a. B"),
        ("a _ _; _ b", "a b"),
        ("a (_) b", "a b"),
        ("a (_; _) b", "a b"),
        ("a (; _) b", "a b"),
        ("a (_; b) c", "a (b) c"),
        ("a (b, _) c", "a (b) c"),
        ("東京（_）は、_、大", "東京は、大"),
        ("mot_ : suite", "mot : suite"),
        ("* _ a\n_\nb _", "* a\n\nb"),
    ],
)
def test_gaps_are_closed(text: str, expected: str) -> None:
    assert close_gaps(text.replace("_", GAP)) == expected


@given(st.text(alphabet="ab ,;()\n."))
def test_text_without_gaps_is_unchanged(text: str) -> None:
    assert close_gaps(text) == text


@given(st.text(alphabet=f"ab ,;()\n{GAP}"))
def test_words_are_kept_and_gaps_are_not(text: str) -> None:
    closed = close_gaps(text)
    assert GAP not in closed
    assert [c for c in closed if c in "ab"] == [c for c in text if c in "ab"]
    assert len(closed) <= len(text)

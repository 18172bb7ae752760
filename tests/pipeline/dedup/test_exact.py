from hypothesis import given
from hypothesis import strategies as st

from pipeline.dedup.exact import exact_key
from pipeline.document import text_hash


@given(st.text(), st.text())
def test_keys_are_equal_only_for_equal_texts(first, second):
    assert (exact_key(text_hash(first)) == exact_key(text_hash(second))) == (first == second)
    assert -(2**63) <= exact_key(text_hash(first)) < 2**63

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.dedup.arrays import contains, count_pairs, sum_pairs

small = st.integers(0, 5)
pairs = st.lists(st.tuples(small, small))


@given(hnp.arrays(np.uint64, st.integers(0, 9), elements=small), st.lists(small))
def test_contains_is_membership(members, asked):
    found = contains(np.sort(members), np.array(asked, np.uint64))
    assert found.tolist() == [each in members for each in asked]


@given(pairs)
def test_pairs_are_counted_in_order(drawn):
    hashes, numbers = np.array(drawn, np.uint64).reshape(-1, 2).T
    first, second, counts = count_pairs(hashes, numbers.astype(np.int64))
    expected = sorted(Counter(drawn).items())
    assert (
        list(zip(zip(first.tolist(), second.tolist(), strict=True), counts.tolist(), strict=True)) == expected
    )
    weighted = sum_pairs(hashes, numbers.astype(np.int64), np.full(len(drawn), 3))
    assert weighted[2].tolist() == [3 * count for _, count in expected]

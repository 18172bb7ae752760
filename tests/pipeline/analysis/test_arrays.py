import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis.arrays import changes

NUMBER = st.integers(0, 2)


@given(st.lists(st.tuples(NUMBER, NUMBER)))
def test_changes_are_where_a_row_differs_from_the_one_before(drawn):
    first, second = np.array(drawn, np.int64).reshape(-1, 2).T
    expected = [index for index, pair in enumerate(drawn) if index == 0 or pair != drawn[index - 1]]
    assert changes(first, second).tolist() == expected

import re
from io import BytesIO

from hypothesis import given
from hypothesis import strategies as st

from pipeline.readers.lookahead import LookaheadStream


class ShortReads:
    """A stream that returns fewer bytes than requested, as network streams do."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self.stream = BytesIO(data)
        self.sizes = sizes

    def read(self, size: int) -> bytes:
        self.sizes.append(self.sizes.pop(0))
        return self.stream.read(min(size, self.sizes[-1]))


@given(
    data=st.binary(max_size=200),
    sizes=st.lists(st.integers(1, 50), min_size=1),
    steps=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))),
)
def test_peek_search_and_skip_agree_with_the_content(
    data: bytes, sizes: list[int], steps: list[tuple[int, int, int]]
) -> None:
    lookahead, position = LookaheadStream(ShortReads(data, sizes).read), 0
    for size, offset, skip in steps:
        assert lookahead.peek(size, offset) == data[position + offset : position + offset + size]
        found = lookahead.search(re.compile(rb"\0"), offset, offset + size)
        at = data.find(b"\0", position + offset, position + offset + size)
        assert found == (None if at < 0 else at - position)
        lookahead.skip(skip)
        position = min(position + skip, len(data))
        assert lookahead.position == position


@given(data=st.binary(max_size=200), sizes=st.lists(st.integers(1, 50), min_size=1), start=st.integers(0, 60))
def test_search_valid_skips_rejected_matches(data: bytes, sizes: list[int], start: int) -> None:
    lookahead = LookaheadStream(ShortReads(data, sizes).read)
    found = lookahead.search_valid(re.compile(rb"[\0\1]"), lambda at: data[at] == 1, start, 150)
    at = data.find(b"\1", start, 150)
    assert found == (None if at < 0 else at)

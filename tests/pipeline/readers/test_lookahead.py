import re
from io import BytesIO

from hypothesis import given
from hypothesis import strategies as st

from pipeline.readers.lookahead import Window


class Dribble:
    """A stream that gives less than it is asked for, as networks do."""

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
def test_a_window_shows_what_the_stream_holds(
    data: bytes, sizes: list[int], steps: list[tuple[int, int, int]]
) -> None:
    window, position = Window(Dribble(data, sizes).read), 0
    for size, offset, skip in steps:
        assert window.peek(size, offset) == data[position + offset : position + offset + size]
        found = window.search(re.compile(rb"\0"), offset, offset + size)
        at = data.find(b"\0", position + offset, position + offset + size)
        assert found == (None if at < 0 else at - position)
        window.skip(skip)
        position = min(position + skip, len(data))
        assert window.position == position

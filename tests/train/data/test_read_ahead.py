import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ManifestError
from train.data.read_ahead import CHUNK_TOKENS, WINDOW_CHUNK_TOKENS, WINDOW_THREADS, WINDOW_TOKENS, ReadAhead


@given(
    st.integers(1, 50),
    st.integers(0, 40),
    st.integers(1, 3),
    st.builds(ReadAhead, st.integers(0, 9), st.integers(1, 8), st.integers(1, 4)),
)
def test_every_step_is_read_once_and_taken_in_order(
    first: int, number: int, stride: int, read_ahead: ReadAhead
) -> None:
    steps = range(first, first + number * stride, stride)
    parts: list[range] = []

    def read(part: range) -> Sequence[int]:
        parts.append(part)
        return part

    taken = 0
    for step in read_ahead.read(read, steps):
        assert step == steps[taken]
        taken += 1
    parts.sort(key=lambda part: part.start)  # threads begin them in any order
    assert taken == number and [step for part in parts for step in part] == list(steps)
    sizes = [len(part) for part in parts]
    assert max(sizes, default=1) <= read_ahead.at_once and sizes[:1] in ([1], [])


def test_the_thread_is_ahead_by_what_was_asked_for() -> None:
    begun: list[int] = []
    reached = threading.Event()

    def read(part: range) -> Sequence[int]:
        begun.extend(part)
        if len(begun) > 5:
            reached.set()
        return part

    steps = ReadAhead(5, 2).read(read, range(1, 1_000_000))
    assert next(steps) == 1
    assert reached.wait(10)  # without another step being taken
    steps.close()
    assert len(begun) <= 8


def test_errors_come_up_where_the_step_is_taken() -> None:
    def read(part: range) -> Sequence[int]:
        if 4 in part:
            raise ManifestError("part-00001.arrow: 12 bytes, but manifest.json says 13 bytes")
        return part

    steps = ReadAhead(3, 1).read(read, range(1, 100))
    assert [next(steps) for _ in range(3)] == [1, 2, 3]
    with pytest.raises(ManifestError, match="13 bytes"):
        next(steps)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_threads_wait_for_their_steps_at_the_same_time() -> None:
    together = threading.Barrier(3)

    def read(part: range) -> Sequence[int]:
        together.wait(10)
        return part

    assert list(ReadAhead(2, 1, threads=3).read(read, range(1, 7))) == [1, 2, 3, 4, 5, 6]


def test_steps_are_in_order_whichever_thread_is_first() -> None:
    first_waits = threading.Event()

    def read(part: range) -> Sequence[int]:
        if 1 in part:
            assert first_waits.wait(10)
        if 3 in part:
            first_waits.set()
        if 5 in part:
            raise ManifestError("part-00001.arrow: 12 bytes, but manifest.json says 13 bytes")
        return part

    steps = ReadAhead(5, 1, threads=3).read(read, range(1, 100))
    assert [next(steps) for _ in range(4)] == [1, 2, 3, 4]
    with pytest.raises(ManifestError, match="13 bytes"):
        next(steps)


def test_long_batches_are_read_one_at_a_time_and_windows_of_blocks_ahead() -> None:
    assert ReadAhead.of(1, CHUNK_TOKENS, 4) == (4, 1, 1)
    assert ReadAhead.of(4, CHUNK_TOKENS // 16 - 1, 4) == (4, 4, 1)
    assert ReadAhead.of(1, WINDOW_CHUNK_TOKENS, 4, window_steps=0.1) == (4, 1, WINDOW_THREADS)
    assert ReadAhead.of(1, WINDOW_CHUNK_TOKENS // 2 - 1, 4, window_steps=16) == (16, 2, WINDOW_THREADS)
    assert ReadAhead.of(1, WINDOW_CHUNK_TOKENS // 8 - 1, 1, window_steps=3) == (3, 3, WINDOW_THREADS)
    assert ReadAhead.of(1, WINDOW_CHUNK_TOKENS - 1, 4, window_steps=1e9) == (8, 1, WINDOW_THREADS)
    assert ReadAhead.of(1, WINDOW_TOKENS, 4, window_steps=1e9) == (4, 1, WINDOW_THREADS)

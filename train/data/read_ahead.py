"""Read the inputs of steps in a thread, before they are needed."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

CHUNK_TOKENS = 1 << 20
"""Tokens of the steps that are read at once: a few MB, over which the fixed cost of a call is spread."""

T = TypeVar("T")


def steps_at_once(rows: int, sequence_length: int) -> int:
    """Return the number of steps to read at once, given the rows that a process reads for each."""
    return max(1, CHUNK_TOKENS // (rows * (sequence_length + 1)))


def read_ahead(read: Callable[[range], Sequence[T]], steps: range, ahead: int, at_once: int) -> Generator[T]:
    """Yield the inputs of ``steps``, while a thread reads those of at least ``ahead`` more.

    ``read`` returns the inputs of some steps: of one at first, so that it is there soon, then of twice as
    many, and finally of ``at_once``. What it raises is raised here.
    """
    thread = ThreadPoolExecutor(1, "read-ahead")
    pending: deque[Future[Sequence[T]]] = deque()
    ready: deque[T] = deque()
    waiting, size = 0, 1
    try:
        while steps or waiting:
            while steps and waiting <= ahead:
                part, steps = steps[:size], steps[size:]
                pending.append(thread.submit(read, part))
                waiting, size = waiting + len(part), min(2 * size, at_once)
            if not ready:
                ready.extend(pending.popleft().result())
            waiting -= 1
            yield ready.popleft()
    finally:
        for future in pending:
            future.cancel()
        thread.shutdown()

"""Read the inputs of steps in threads, before they are needed."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

CHUNK_TOKENS = 1 << 21
"""Tokens of the steps that are read at once: a few MB, over which the fixed cost of a call is spread."""
WINDOW_CHUNK_TOKENS = 1 << 23
"""The same for shuffled blocks, whose rows come from many remote files, each with its own cost."""
WINDOW_THREADS = 3
"""Threads that read shuffled blocks, one of which may wait for blocks of the next window."""
WINDOW_TOKENS = 1 << 26
"""Tokens of a window that are read ahead, at most: 256 MiB of 16-bit tokens and document ids."""

T = TypeVar("T")


class ReadAhead(NamedTuple):
    """A prefetcher of the inputs of steps: its prefetch distance, chunk size and number of threads."""

    ahead: int
    """Steps after the one that is taken, at least."""
    at_once: int
    """Steps that a thread reads at once, at most."""
    threads: int = 1

    @staticmethod
    def of(rows: int, sequence_length: int, ahead: int, window_steps: float = 0) -> "ReadAhead":
        """Return the prefetcher of a process that reads ``rows`` for each step.

        ``ahead``: steps that the user wants to be read ahead. ``window_steps``: steps that have as many rows
        as a window of shuffled blocks, 0 without blocks. As much is read ahead, up to a limit, so that blocks
        of the next window arrive while this one is trained on.
        """
        tokens = rows * (sequence_length + 1)
        if not window_steps:
            return ReadAhead(ahead, max(1, CHUNK_TOKENS // tokens))
        window = min(round(window_steps), WINDOW_TOKENS // tokens)
        at_once = max(1, min(window, WINDOW_CHUNK_TOKENS // tokens))
        return ReadAhead(max(ahead, window), at_once, WINDOW_THREADS)

    def read(self, read: Callable[[range], Sequence[T]], steps: range) -> Generator[T]:
        """Yield the inputs of ``steps`` in order.

        ``read`` returns the inputs of some steps: of one at first, so that it is there soon, then of twice as
        many, and finally of ``at_once``. What it raises is raised here.
        """
        pool = ThreadPoolExecutor(self.threads, "read-ahead")
        pending: deque[Future[Sequence[T]]] = deque()
        ready: deque[T] = deque()
        waiting, size = 0, 1
        try:
            if steps and self.threads == 1:  # a thread would delay it by holding the interpreter lock
                ready.extend(read(steps[:1]))
                steps, waiting, size = steps[1:], 1, min(2, self.at_once)
            while steps or waiting:
                while steps and waiting <= self.ahead:
                    part, steps = steps[:size], steps[size:]
                    pending.append(pool.submit(read, part))
                    waiting, size = waiting + len(part), min(2 * size, self.at_once)
                if not ready:
                    ready.extend(pending.popleft().result())
                waiting -= 1
                yield ready.popleft()
        finally:
            for future in pending:
                future.cancel()
            pool.shutdown()

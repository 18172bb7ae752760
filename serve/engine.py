"""The loop in which the model runs, and how the server's coroutines talk to it.

The model has the main thread and the event loop another. Beside its pool of one thread per processor, GNU
OpenMP lets no further thread wait actively: away from the main thread each product begins with a sleeper's
awakening, and two processors are hardly faster than one. PyTorch leaves Python's lock while it computes, so
that the event loop goes on meanwhile.
"""

import asyncio
import logging
import queue
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from model.batching import Batcher, SampledToken
from model.generation import Sampling

GATHER_SECONDS = 0.02
"""How long an idle engine waits at most for requests that come together, to read their prompts together."""
PAUSE_SECONDS = 0.001
"""Without another request in this time, and with none on its way, they are complete."""

log = logging.getLogger(__name__)


class BusyError(Exception):
    """The queue is full."""


class FailedError(Exception):
    """The model failed while it computed an answer; the cause is in the log."""


@dataclass(eq=False)
class Generation:
    """One request at the engine: its tokens as they are drawn."""

    prompt: Sequence[int]
    limit: int
    sampling: Sampling
    stop: frozenset[int]
    number: int = 0
    """At the batcher; 0 while it waits."""
    ended: bool = False
    events: asyncio.Queue[SampledToken | Exception] = field(default_factory=asyncio.Queue)

    async def next(self) -> SampledToken:
        """The next token; the last one says why it is the last. Raises :class:`FailedError`, TimeoutError."""
        event = await self.events.get()
        if isinstance(event, Exception):
            raise event
        return event

    def expire(self) -> None:
        """Raise TimeoutError for whoever waits for the next token."""
        self.events.put_nowait(TimeoutError())


class Engine:
    """Takes requests from one event loop and runs a :class:`Batcher` in the thread that calls :meth:`run`.

    At most the batcher's slots and ``waiting`` more requests are taken on.
    """

    def __init__(self, batcher: Batcher, waiting: int) -> None:
        self.capacity = batcher.capacity
        self.slots = batcher.num_free
        self.count = 0
        """Requests that are not ended, by the event loop's account."""
        self._coming = 0
        self._batcher = batcher
        self._most = self.slots + waiting
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._waiting: deque[Generation] = deque()
        self._running: dict[int, Generation] = {}
        self._closed = False

    @property
    def running(self) -> int:
        """Requests that hold a slot."""
        return len(self._running)

    @property
    def full(self) -> bool:
        """Whether a further request is refused."""
        return self.count >= self._most

    @contextmanager
    def coming(self) -> Iterator[None]:
        """While a request is being prepared for :meth:`submit`."""
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1
            self._commands.put(lambda: None)

    def submit(
        self, prompt: Sequence[int], limit: int, sampling: Sampling, stop: frozenset[int]
    ) -> Generation:
        """Take on a request. Raises :class:`BusyError` if too many wait already."""
        if self.full:
            raise BusyError
        generation = Generation(prompt, limit, sampling, stop)
        self.count += 1
        self._loop = asyncio.get_running_loop()
        self._commands.put(lambda: self._waiting.append(generation))
        return generation

    def end(self, generation: Generation) -> None:
        """Give up a request's place, finished or not; to be called once for every request."""
        if not generation.ended:
            generation.ended = True
            self.count -= 1
            self._commands.put(lambda: self._drop(generation))

    def close(self) -> None:
        """Let :meth:`run` return; requests that still run get no more tokens."""
        self._commands.put(self._close)

    def run(self) -> None:
        """Compute until :meth:`close` is called. All that follows belongs to this thread."""
        while not self._closed:
            self._obey()
            while self._waiting and self._batcher.num_free:
                self._admit(self._waiting.popleft())
            if self._batcher.num_running:
                self._step()

    def _obey(self) -> None:
        """Carry out what was asked for; wait for something if there is nothing to compute."""
        if not self._batcher.num_running and not self._waiting:
            self._commands.get()()
            self._gather()
        while not self._commands.empty():
            self._commands.get()()

    def _gather(self) -> None:
        """Give those a moment who come together with the first."""
        until = time.monotonic() + GATHER_SECONDS
        while (left := until - time.monotonic()) > 0:
            try:
                self._commands.get(timeout=left if self._coming else PAUSE_SECONDS)()
            except queue.Empty:
                return

    def _admit(self, generation: Generation) -> None:
        number = self._batcher.add(generation.prompt, generation.limit, generation.sampling, generation.stop)
        generation.number = number
        self._running[number] = generation

    def _step(self) -> None:
        try:
            drawn = self._batcher.step()
        except Exception:
            log.exception("the model failed; %d requests end", len(self._running))
            events: list[tuple[Generation, SampledToken | Exception]] = [
                (generation, FailedError()) for generation in self._running.values()
            ]
            for number in list(self._running):
                self._batcher.cancel(number)
            self._running.clear()
        else:
            events = [(self._running[token.request_id], token) for token in drawn]
            for token in drawn:
                if token.finish_reason:
                    del self._running[token.request_id]
        self._tell(events)

    def _tell(self, events: list[tuple[Generation, SampledToken | Exception]]) -> None:
        def deliver() -> None:
            for generation, event in events:
                generation.events.put_nowait(event)

        if events:
            self._loop.call_soon_threadsafe(deliver)

    def _drop(self, generation: Generation) -> None:
        if self._running.pop(generation.number, None):
            self._batcher.cancel(generation.number)
        elif generation in self._waiting:
            self._waiting.remove(generation)

    def _close(self) -> None:
        self._closed = True

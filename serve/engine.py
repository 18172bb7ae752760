"""The engine runs the model in the main thread; coroutines of the event loop submit requests to it.

The model runs in the main thread and the event loop in another, because GNU OpenMP lets only one thread per
processor spin while idle. Called from an additional thread, each matrix product first has to wake sleeping
workers, and two processors are barely faster than one. PyTorch releases the GIL while it computes, so the
event loop keeps running.
"""

import asyncio
import logging
import queue
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from model.batching import Batcher, Logprobs, SampledToken
from model.generation import Sampling

GATHER_SECONDS = 0.02
"""Longest time that an idle engine waits for more requests, so that their prompts are prefilled together."""
QUIET_SECONDS = 0.001
"""An idle engine starts after this time without a new request, if none is being prepared."""

log = logging.getLogger(__name__)


class QueueFullError(Exception):
    """The queue has no place for another request."""


class GenerationError(Exception):
    """The model failed on this request; the cause is in the log."""


@dataclass(eq=False)
class Generation:
    """One request in the engine and the queue of its sampled tokens."""

    prompt: Sequence[int]
    max_tokens: int
    sampling: Sampling
    stop_tokens: frozenset[int]
    logprobs: Logprobs | None = None
    request_id: int = 0
    """Assigned by the batcher; 0 while the request waits for a slot."""
    released: bool = False
    events: asyncio.Queue[SampledToken | Exception] = field(default_factory=asyncio.Queue)

    async def next_token(self) -> SampledToken:
        """Return the next token; the last one has a finish reason.

        Raises :class:`GenerationError` if the model failed, TimeoutError after :meth:`time_out`.
        """
        event = await self.events.get()
        if isinstance(event, Exception):
            raise event
        return event

    def time_out(self) -> None:
        """Let :meth:`next_token` raise TimeoutError after the tokens that are queued already."""
        self.events.put_nowait(TimeoutError())


class Engine:
    """Runs a :class:`Batcher` in the thread that calls :meth:`run`, for requests of one event loop.

    The batcher's slots bound the requests that run, ``queue_size`` those that wait. :meth:`run` and
    :meth:`close` may be called from any thread, all other methods from the event loop's thread only.
    """

    def __init__(self, batcher: Batcher, queue_size: int) -> None:
        self.capacity = batcher.capacity
        """Tokens of a request, prompt and answer together."""
        self.slots = batcher.num_free
        self.num_requests = 0
        """Requests that were submitted and not released."""
        self._num_expected = 0
        self._batcher = batcher
        self._max_requests = self.slots + queue_size
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._waiting: deque[Generation] = deque()
        self._running: dict[int, Generation] = {}
        self._closed = False

    @property
    def num_running(self) -> int:
        """Number of requests that hold a slot."""
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        """Number of requests that wait for a slot."""
        return max(0, self.num_requests - self.num_running)

    @property
    def is_full(self) -> bool:
        """True if another request would be rejected."""
        return self.num_requests >= self._max_requests

    @contextmanager
    def expect_request(self) -> Iterator[None]:
        """Announce a request while it is being prepared, so that an idle engine waits for it."""
        self._num_expected += 1
        try:
            yield
        finally:
            self._num_expected -= 1
            self._commands.put(lambda: None)

    def submit(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        sampling: Sampling,
        stop_tokens: frozenset[int],
        logprobs: Logprobs | None = None,
        *,
        is_part: bool = False,
    ) -> Generation:
        """Queue a request. Raises :class:`QueueFullError`, unless it is part of an admitted request."""
        if self.is_full and not is_part:
            raise QueueFullError
        generation = Generation(prompt, max_tokens, sampling, stop_tokens, logprobs)
        self.num_requests += 1
        self._loop = asyncio.get_running_loop()
        self._commands.put(lambda: self._waiting.append(generation))
        return generation

    def release(self, generation: Generation) -> None:
        """Free the slot or queue place of a request, finished or not; required once for every request."""
        if not generation.released:
            generation.released = True
            self.num_requests -= 1
            self._commands.put(lambda: self._drop(generation))

    def close(self) -> None:
        """Let :meth:`run` return; running requests get no more tokens."""
        self._commands.put(self._close)

    def run(self) -> None:
        """Generate until :meth:`close` is called. The methods below belong to this thread."""
        while not self._closed:
            self._process_commands()
            while self._waiting and self._batcher.num_free:
                self._add(self._waiting.popleft())
            if self._batcher.num_running:
                self._step()

    def _process_commands(self) -> None:
        """Run the queued commands; if there is nothing to generate, wait for one."""
        if not self._batcher.num_running and not self._waiting:
            self._commands.get()()
            self._gather_requests()
        while not self._commands.empty():
            self._commands.get()()

    def _gather_requests(self) -> None:
        """Wait briefly for requests that arrive together with the first one."""
        deadline = time.monotonic() + GATHER_SECONDS
        while (remaining := deadline - time.monotonic()) > 0:
            try:
                self._commands.get(timeout=remaining if self._num_expected else QUIET_SECONDS)()
            except queue.Empty:
                return

    def _add(self, generation: Generation) -> None:
        try:
            request_id = self._batcher.add(
                generation.prompt,
                generation.max_tokens,
                generation.sampling,
                generation.stop_tokens,
                generation.logprobs,
            )
        except Exception as error:
            log.error("a request failed: %s", error, exc_info=error)
            self._deliver([(generation, GenerationError())])
        else:
            generation.request_id = request_id
            self._running[request_id] = generation

    def _step(self) -> None:
        try:
            tokens = self._batcher.step()
        except Exception:
            log.exception("the model failed; %d requests are aborted", len(self._running))
            events: list[tuple[Generation, SampledToken | Exception]] = [
                (generation, GenerationError()) for generation in self._running.values()
            ]
            for request_id in list(self._running):
                self._batcher.cancel(request_id)
            self._running.clear()
        else:
            events = [(self._running[token.request_id], _event(token)) for token in tokens]
            for token in tokens:
                if token.finish_reason:
                    del self._running[token.request_id]
        self._deliver(events)

    def _deliver(self, events: list[tuple[Generation, SampledToken | Exception]]) -> None:
        """Put the events into the requests' queues, in the event loop's thread.

        While the server stops, the loop may be closed already; then no coroutine waits for the events.
        """

        def put() -> None:
            for generation, event in events:
                generation.events.put_nowait(event)
                if isinstance(event, Exception) or event.finish_reason:
                    self.release(generation)  # whether or not anyone reads its events

        if events:
            with suppress(RuntimeError):  # the event loop is closed
                self._loop.call_soon_threadsafe(put)

    def _drop(self, generation: Generation) -> None:
        if self._running.pop(generation.request_id, None):
            self._batcher.cancel(generation.request_id)
        elif generation in self._waiting:
            self._waiting.remove(generation)

    def _close(self) -> None:
        self._closed = True


def _event(sampled: SampledToken) -> SampledToken | GenerationError:
    """Return what the request receives; log its failure."""
    if not sampled.error:
        return sampled
    log.error("a request failed: %s", sampled.error, exc_info=sampled.error)
    return GenerationError()

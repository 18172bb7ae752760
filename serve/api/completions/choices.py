"""The choices of a response: one generation for each answer, some of them at a time."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing

from serve.stream import Chunk, TextStream


class Choice:
    """One answer of a response; ``submit`` queues its generation."""

    def __init__(self, index: int, submit: Callable[[], TextStream]) -> None:
        self.index = index
        self._submit = submit
        self._stream: TextStream | None = None

    def start(self) -> TextStream:
        """Return the text stream, with the generation queued."""
        self._stream = self._stream or self._submit()
        return self._stream

    @property
    def stream(self) -> TextStream:
        """The text stream of a choice that was started."""
        assert self._stream
        return self._stream

    def close(self) -> None:
        """Cancel the generation if it was started."""
        if self._stream:
            self._stream.close()


Event = tuple[Choice, Chunk | None]
"""A chunk of a choice; None as its last one."""


class Choices:
    """The choices of one response, of which up to ``parallel`` are generated at a time.

    Generation does not wait for the reader of the events, so that a slow client occupies no slot.
    ``on_finished`` is called at the end of each choice, complete or not, before its last event.
    """

    def __init__(
        self, choices: Sequence[Choice], parallel: int, on_finished: Callable[[Choice], None]
    ) -> None:
        self.all = choices
        self._parallel = min(parallel, len(choices))
        self._on_finished = on_finished
        self._events: asyncio.Queue[Event | Exception] = asyncio.Queue()

    def close(self) -> None:
        """Cancel all generations."""
        for choice in self.all:
            choice.close()

    async def events(self, idle_seconds: float | None = None) -> AsyncGenerator[Event | None, None]:
        """Yield the events of all choices as they happen, and None after ``idle_seconds`` without one.

        Closing the generator cancels the generations. Raises the first error of a choice.
        """
        remaining = iter(self.all)
        workers = [asyncio.create_task(self._generate(remaining)) for _ in range(self._parallel)]
        unfinished = len(self.all)
        try:
            while unfinished:
                event = await self._next_event(idle_seconds)
                if isinstance(event, Exception):
                    raise event
                unfinished -= event is not None and event[1] is None
                yield event
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            self.close()

    async def _next_event(self, idle_seconds: float | None) -> Event | Exception | None:
        try:
            async with asyncio.timeout(idle_seconds):
                return await self._events.get()
        except TimeoutError:
            return None

    async def _generate(self, remaining: Iterator[Choice]) -> None:
        """Generate one choice after the other."""
        try:
            for choice in remaining:
                async with aclosing(choice.start().chunks()) as chunks:
                    try:
                        async for chunk in chunks:
                            self._events.put_nowait((choice, chunk))
                    finally:
                        self._on_finished(choice)
                self._events.put_nowait((choice, None))
        except Exception as error:
            self._events.put_nowait(error)

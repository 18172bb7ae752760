"""When an engine without work begins: at once for one request, together for those that come together."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from model.batching import Batcher, SampledToken
from model.generation import Sampling
from serve import engine
from serve.engine import Engine, Generation


class Recorder:
    """A batcher that answers every request by one token, and notes how many it had at each step."""

    capacity = 10
    num_free = 8

    def __init__(self) -> None:
        self.steps: list[int] = []
        self._numbers: list[int] = []

    @property
    def num_running(self) -> int:
        return len(self._numbers)

    def add(self, *_: object) -> int:
        self._numbers.append(len(self.steps) * 100 + len(self._numbers) + 1)
        return self._numbers[-1]

    def step(self) -> list[SampledToken]:
        self.steps.append(len(self._numbers))
        drawn = [SampledToken(number, 1, "length") for number in self._numbers]
        self._numbers.clear()
        return drawn


@contextmanager
def running(recorder: Recorder) -> Iterator[Engine]:
    made = Engine(cast(Batcher, recorder), 8)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield made
    finally:
        made.close()
        thread.join()


def submit(made: Engine) -> Generation:
    return made.submit([1], 1, Sampling(0), frozenset())


def test_those_on_their_way_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "GATHER_SECONDS", 30)

    async def two() -> None:
        with made.coming():
            first = submit(made)
            await asyncio.sleep(0.2)
            assert not recorder.steps
            second = submit(made)
        await asyncio.gather(first.next(), second.next())

    recorder = Recorder()
    with running(recorder) as made:
        asyncio.run(asyncio.wait_for(two(), 10))
    assert recorder.steps == [2]


def test_nobody_is_waited_for_who_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "GATHER_SECONDS", 0.1)

    async def one() -> float:
        with made.coming():
            began = time.monotonic()
            await submit(made).next()
            return time.monotonic() - began

    recorder = Recorder()
    with running(recorder) as made:
        assert asyncio.run(asyncio.wait_for(one(), 10)) < 5
    assert recorder.steps == [1]

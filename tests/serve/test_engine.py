"""Start of an idle engine: at once for one request, together for requests that arrive together."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from model.batching import Batcher, SampledToken
from model.generation import Sampling
from serve import engine as engine_module
from serve.engine import Engine, Generation


class RecordingBatcher:
    """A batcher that finishes every request after one token and records the batch size of each step."""

    capacity = 10
    num_free = 8

    def __init__(self) -> None:
        self.batch_sizes: list[int] = []
        self._request_ids: list[int] = []

    @property
    def num_running(self) -> int:
        return len(self._request_ids)

    def add(self, *_: object) -> int:
        self._request_ids.append(len(self.batch_sizes) * 100 + len(self._request_ids) + 1)
        return self._request_ids[-1]

    def step(self) -> list[SampledToken]:
        self.batch_sizes.append(len(self._request_ids))
        sampled = [SampledToken(request_id, 1, "length") for request_id in self._request_ids]
        self._request_ids.clear()
        return sampled


class SlowBatcher(RecordingBatcher):
    """A batcher whose steps end when the test permits."""

    def __init__(self) -> None:
        super().__init__()
        self.started, self.proceed = threading.Event(), threading.Event()

    def step(self) -> list[SampledToken]:
        self.started.set()
        assert self.proceed.wait(60)
        return super().step()


@contextmanager
def running(batcher: RecordingBatcher) -> Iterator[Engine]:
    engine = Engine(cast(Batcher, batcher), 8)
    thread = threading.Thread(target=engine.run)
    thread.start()
    try:
        yield engine
    finally:
        engine.close()
        thread.join()


def submit(engine: Engine) -> Generation:
    return engine.submit([1], 1, Sampling(0), frozenset())


def test_engine_waits_for_announced_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "GATHER_SECONDS", 30)

    async def submit_two() -> None:
        with engine.expect_request():
            first = submit(engine)
            await asyncio.sleep(0.2)
            assert not batcher.batch_sizes
            second = submit(engine)
        await asyncio.gather(first.next_token(), second.next_token())

    batcher = RecordingBatcher()
    with running(batcher) as engine:
        asyncio.run(asyncio.wait_for(submit_two(), 60))
    assert batcher.batch_sizes == [2]


def test_engine_does_not_wait_for_absent_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "GATHER_SECONDS", 0.1)

    async def submit_one_of_two() -> None:
        with engine.expect_request():
            await submit(engine).next_token()

    batcher = RecordingBatcher()
    with running(batcher) as engine:
        asyncio.run(asyncio.wait_for(submit_one_of_two(), 60))
    assert batcher.batch_sizes == [1]


def test_engine_goes_on_after_the_event_loop_is_closed() -> None:
    async def submit_one() -> None:
        submit(engine)

    batcher = SlowBatcher()
    with running(batcher) as engine:
        asyncio.run(submit_one())
        assert batcher.started.wait(60)
        batcher.proceed.set()
    assert batcher.batch_sizes == [1]  # an error in the engine's thread would be a warning, and fail the test

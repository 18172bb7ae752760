"""The text stream of an answer: time limit, stop token, failures."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from core.config import ServeConfig
from model.batching import Batcher, SampledToken
from model.generation import Sampling
from serve.engine import Engine, Generation, GenerationError
from serve.logprobs import TokenTexts
from serve.safety.filter import SafetyFilter
from serve.stream import TextStream
from serve.text import Detokenizer, StopStrings
from tests.serve.server_process import byte_tokenizer

HOUR = 3600.0
TOKENIZER = byte_tokenizer()


class ManualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers follow a time that the test sets."""

    now = 0.0

    def time(self) -> float:
        return self.now


class NoBatcher:
    """The attributes that an engine needs before it runs."""

    capacity = 100
    num_free = 1


def run(scenario: Callable[[ManualTimeLoop], Awaitable[None]]) -> None:
    loop = ManualTimeLoop()
    try:
        loop.run_until_complete(scenario(loop))
    finally:
        loop.close()


async def let_tasks_run() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def start(engine: Engine) -> tuple[TextStream, Generation]:
    generation = engine.submit([1], 50, Sampling(0), frozenset())
    stream = TextStream(
        engine,
        generation,
        Detokenizer(TOKENIZER, []),
        StopStrings(["stop"]),
        SafetyFilter(ServeConfig(safety=False)).stream_filter(),
        TokenTexts(TOKENIZER),
        started=time.perf_counter(),
        seconds=HOUR,
    )
    return stream, generation


def sample(generation: Generation, text: str, finish_reason: str | None = None) -> None:
    """Let the model generate ``text``; the last token has the finish reason."""
    ids = TOKENIZER.encode(text)
    for number, token in enumerate(ids, 1):
        reason = finish_reason if number == len(ids) else None
        generation.events.put_nowait(SampledToken(1, token, reason))  # type: ignore[arg-type]


async def collect(stream: TextStream) -> str:
    return "".join([chunk.text async for chunk in stream.chunks()])


def test_time_limit_ends_an_answer_with_the_text_so_far() -> None:
    async def scenario(loop: ManualTimeLoop) -> None:
        engine = Engine(cast(Batcher, NoBatcher()), 0)
        stream, generation = start(engine)
        collecting = asyncio.create_task(collect(stream))
        sample(generation, "so far")
        await let_tasks_run()
        loop.now = HOUR / 2
        await let_tasks_run()
        assert not collecting.done()
        loop.now = HOUR + 1
        await let_tasks_run()
        assert collecting.done()
        assert collecting.result() == stream.text == "so far"
        assert (stream.finish_reason, stream.num_tokens) == ("length", 6)
        assert engine.num_requests == 0

    run(scenario)


@pytest.mark.parametrize(
    ("text", "finish_reason", "expected"),
    [
        ("one", "length", ("one", "length", 3)),
        ("one.", "stop", ("one", "stop", 3)),  # the stop token is no text
        ("a stopped", None, ("a ", "stop", 6)),
    ],
)
def test_finish_reason(text: str, finish_reason: str | None, expected: tuple[str, str, int]) -> None:
    async def scenario(_loop: ManualTimeLoop) -> None:
        engine = Engine(cast(Batcher, NoBatcher()), 0)
        stream, generation = start(engine)
        sample(generation, text, finish_reason)
        assert (await collect(stream), stream.finish_reason, stream.num_tokens) == expected
        assert engine.num_requests == 0

    run(scenario)


def test_failure_of_the_model_is_raised_and_frees_the_slot() -> None:
    async def scenario(_loop: ManualTimeLoop) -> None:
        engine = Engine(cast(Batcher, NoBatcher()), 0)
        stream, generation = start(engine)
        generation.events.put_nowait(GenerationError())
        with pytest.raises(GenerationError):
            await collect(stream)
        assert engine.num_requests == 0

    run(scenario)

"""One answer on its way from the model's tokens to the client's text."""

import asyncio
import time
from collections.abc import AsyncGenerator

from model.batching import SampledToken
from serve.engine import Engine, Generation
from serve.metrics import Metrics
from serve.safety import Outlet
from serve.text import Detokenizer, StopStrings


class Answer:
    """The text of a generation after stop strings and safety filter, and what is told of it in the end.

    ``began`` is when the request arrived (``time.perf_counter``); the answer ends as it stands after
    ``seconds``.
    """

    def __init__(
        self,
        engine: Engine,
        generation: Generation,
        detokenizer: Detokenizer,
        stop: StopStrings,
        outlet: Outlet,
        *,
        began: float,
        seconds: float,
    ) -> None:
        self.text = ""
        self.tokens = 0
        """Without the one that only ends it."""
        self.finish_reason = ""
        """``stop``, ``length`` (also of time), ``content_filter``; empty while it goes on."""
        self._engine = engine
        self._generation = generation
        self._detokenizer = detokenizer
        self._stop = stop
        self._outlet = outlet
        self._began = began
        self._first = 0.0
        self._seconds = seconds

    @property
    def prompt_tokens(self) -> int:
        """Tokens that the model has read."""
        return len(self._generation.prompt)

    async def pieces(self) -> AsyncGenerator[str, None]:
        """The text as it becomes certain. Raises :class:`serve.engine.FailedError`.

        Whoever stops listening ends the request.
        """
        left = self._began + self._seconds - time.perf_counter()
        timer = asyncio.get_running_loop().call_later(left, self._generation.expire)
        try:
            while not self.finish_reason:
                text = self._read(await self._generation.next())
                if piece := self._passed(self._outlet.push(self._stop.push(text))):
                    yield piece
        except TimeoutError:
            self.finish_reason = "length"
        finally:
            timer.cancel()
            self._engine.end(self._generation)
        rest = self._stop.push(self._detokenizer.flush()) + self._stop.flush()
        if piece := self._passed(self._outlet.push(rest) + self._outlet.flush()):
            yield piece

    def observe(self, metrics: Metrics) -> None:
        """Count the answer, as far as it came."""
        metrics.tokens_in.inc(self.prompt_tokens)
        metrics.tokens_out.inc(self.tokens)
        metrics.finished.labels(self.finish_reason or "cancelled").inc()
        if self._first:
            metrics.first_token.observe(self._first - self._began)
        if self.tokens > 1:
            metrics.next_token.observe((time.perf_counter() - self._first) / (self.tokens - 1))

    def _read(self, drawn: SampledToken) -> str:
        """The text that a token adds."""
        self._first = self._first or time.perf_counter()
        self.finish_reason = drawn.finish_reason or ""
        if drawn.finish_reason == "stop":
            return ""
        self.tokens += 1
        return self._detokenizer.push(drawn.token)

    def _passed(self, piece: str) -> str:
        """Take note of what goes out, and of what ends the answer before the model does."""
        if self._outlet.blocked:
            self.finish_reason = "content_filter"
        elif self._stop.met:
            self.finish_reason = "stop"
        self.text += piece
        return piece

"""The text stream of one answer: sampled tokens, detokenized, cut at stop strings and filtered."""

import asyncio
import time
from collections.abc import AsyncGenerator

from model.batching import SampledToken
from serve.engine import Engine, Generation
from serve.metrics import Metrics
from serve.safety.filter import StreamFilter
from serve.text import Detokenizer, StopStrings


class TextStream:
    """Stream the text of a generation as it becomes final.

    ``started`` is the arrival of the request (``time.perf_counter``). After ``seconds`` from then the stream
    ends with finish reason ``length``.
    """

    def __init__(
        self,
        engine: Engine,
        generation: Generation,
        detokenizer: Detokenizer,
        stop_strings: StopStrings,
        stream_filter: StreamFilter,
        *,
        started: float,
        seconds: float,
    ) -> None:
        self.text = ""
        self.num_tokens = 0
        """Generated tokens without the stop token."""
        self.finish_reason = ""
        """``stop``, ``length`` (also for the time limit) or ``content_filter``; empty until the end."""
        self._engine = engine
        self._generation = generation
        self._detokenizer = detokenizer
        self._stop_strings = stop_strings
        self._filter = stream_filter
        self._started = started
        self._first_token_at = 0.0
        self._seconds = seconds

    @property
    def num_prompt_tokens(self) -> int:
        """Number of tokens in the prompt."""
        return len(self._generation.prompt)

    async def chunks(self) -> AsyncGenerator[str, None]:
        """Yield the text in chunks. Closing the generator cancels the request.

        Raises :class:`serve.engine.GenerationError`.
        """
        remaining = self._started + self._seconds - time.perf_counter()
        timer = asyncio.get_running_loop().call_later(remaining, self._generation.time_out)
        try:
            while not self.finish_reason:
                text = self._decode(await self._generation.next_token())
                if chunk := self._record(self._filter.push(self._stop_strings.push(text))):
                    yield chunk
        except TimeoutError:
            self.finish_reason = "length"
        finally:
            timer.cancel()
            self._engine.release(self._generation)
        rest = self._stop_strings.push(self._detokenizer.flush()) + self._stop_strings.flush()
        if chunk := self._record(self._filter.push(rest) + self._filter.flush()):
            yield chunk

    def observe(self, metrics: Metrics) -> None:
        """Count the answer, complete or not."""
        metrics.prompt_tokens.inc(self.num_prompt_tokens)
        metrics.generated_tokens.inc(self.num_tokens)
        metrics.answers.labels(self.finish_reason or "cancelled").inc()
        if self._first_token_at:
            metrics.first_token.observe(self._first_token_at - self._started)
        if self.num_tokens > 1:
            elapsed = time.perf_counter() - self._first_token_at
            metrics.next_token.observe(elapsed / (self.num_tokens - 1))

    def _decode(self, sampled: SampledToken) -> str:
        """Count a token and return the text that it completes."""
        self._first_token_at = self._first_token_at or time.perf_counter()
        self.finish_reason = sampled.finish_reason or ""
        if sampled.finish_reason == "stop":
            return ""
        self.num_tokens += 1
        return self._detokenizer.push(sampled.token)

    def _record(self, chunk: str) -> str:
        """Record a chunk and, if the filter or a stop string ended the answer, the finish reason."""
        if self._filter.blocked:
            self.finish_reason = "content_filter"
        elif self._stop_strings.matched:
            self.finish_reason = "stop"
        self.text += chunk
        return chunk

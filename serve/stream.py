"""The text stream of one answer: sampled tokens, detokenized, cut at stop strings and filtered."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from model.batching import SampledToken
from serve.engine import Engine, Generation
from serve.logprobs import ScoredToken, TokenLog, TokenTexts
from serve.metrics import Metrics
from serve.safety.filter import StreamFilter
from serve.safety.refusal import Refusal
from serve.text import Detokenizer, StopStrings


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of an answer's text, and its tokens with their log-probabilities if these were requested."""

    text: str
    tokens: Sequence[ScoredToken] = ()


class TextStream:
    """Stream the text of a generation as it becomes final.

    ``started`` is the arrival of the request (``time.perf_counter``). After ``seconds`` from then the stream
    ends with finish reason ``length``. ``echo`` is sent before the answer. ``only_prompt`` leaves the answer
    out: the generation has a single token, which is dropped.
    """

    def __init__(
        self,
        engine: Engine,
        generation: Generation,
        detokenizer: Detokenizer,
        stop_strings: StopStrings,
        stream_filter: StreamFilter,
        token_texts: TokenTexts,
        *,
        started: float,
        seconds: float,
        echo: str | None = None,
        only_prompt: bool = False,
    ) -> None:
        self.text = ""
        """Text of the answer, without ``echo``."""
        self.num_tokens = 0
        """Generated tokens without the stop token."""
        self.finish_reason = ""
        """``stop``, ``length`` (also for the time limit) or ``content_filter``; empty until the end."""
        self._engine = engine
        self._generation = generation
        self._detokenizer = detokenizer
        self._stop_strings = stop_strings
        self._filter = stream_filter
        self._token_texts = token_texts
        self._token_log = TokenLog(len(echo or "")) if generation.logprobs else None
        self._started = started
        self._first_token_at = 0.0
        self._seconds = seconds
        self._echo = echo
        self._only_prompt = only_prompt

    @property
    def refusal(self) -> Refusal | None:
        """The reason for which the safety filter ended the answer, if it did."""
        return self._filter.refusal

    @property
    def num_prompt_tokens(self) -> int:
        """Number of tokens in the prompt."""
        return len(self._generation.prompt)

    def close(self) -> None:
        """Cancel the generation if it is not finished."""
        self._engine.release(self._generation)

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        """Yield the text in chunks. Closing the generator cancels the request.

        Raises :class:`serve.engine.GenerationError`, and TimeoutError if the time limit passes before the
        prompt is processed of which log-probabilities were requested.
        """
        remaining = self._started + self._seconds - time.perf_counter()
        timer = asyncio.get_running_loop().call_later(remaining, self._generation.time_out)
        try:
            while not self.finish_reason:
                sampled = await self._generation.next_token()
                if self._echo is not None and not self._first_token_at:
                    yield self._echoed(self._echo, sampled)
                if chunk := self._record(self._filter.push(self._stop_strings.push(self._decode(sampled)))):
                    yield chunk
        except TimeoutError:
            if self._token_log and self._echo is not None and not self._first_token_at:
                raise
            self.finish_reason = "length"
        finally:
            timer.cancel()
            self.close()
        rest = self._detokenizer.flush()
        if self._token_log:
            self._token_log.complete(rest)
        rest = self._stop_strings.push(rest) + self._stop_strings.flush()
        if chunk := self._record(self._filter.push(rest) + self._filter.flush(), is_last=True):
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

    def _echoed(self, text: str, sampled: SampledToken) -> Chunk:
        """Return the prompt, with the log-probabilities that come with the first token."""
        if not self._token_log:
            return Chunk(text)
        tokens = self._token_texts.score_prompt(self._generation.prompt, sampled.prompt_logprobs)
        return Chunk(text, list(tokens))

    def _decode(self, sampled: SampledToken) -> str:
        """Count a token and return the text that it completes."""
        self._first_token_at = self._first_token_at or time.perf_counter()
        if self._only_prompt:
            self.finish_reason = "length"
            return ""
        self.finish_reason = sampled.finish_reason or ""
        is_stop = sampled.finish_reason == "stop"
        text = "" if is_stop else self._detokenizer.push(sampled.token)
        self.num_tokens += not is_stop
        if self._token_log and sampled.logprobs:
            self._token_log.add(sampled.logprobs, text, is_stop=is_stop)
        return text

    def _record(self, text: str, *, is_last: bool = False) -> Chunk | None:
        """Record a part of the text, and the finish reason if the filter or a stop string ended it."""
        if self._filter.refusal:
            self.finish_reason = "content_filter"
        elif self._stop_strings.matched:
            self.finish_reason = "stop"
        self.text += text
        tokens: list[ScoredToken] = []
        if self._token_log:
            tokens = self._token_log.release(text)
            if is_last:
                tokens += self._token_log.finish(
                    is_cut=bool(self._filter.refusal) or self._stop_strings.matched
                )
        return Chunk(text, tokens) if text or tokens else None

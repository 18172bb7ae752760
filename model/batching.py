"""Continuous batching (Orca, Yu et al. 2022): generate for many requests in one batch.

The cost of a step is mostly that of reading the weights, for one sequence as for sixteen. Requests join and
leave the batch between steps, so none waits for the longest. Prompts are prefilled in chunks, so that a long
one does not delay the others. A request that fails, by an error or by logits that are not finite, ends alone.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

import torch
from torch import Tensor

from core.errors import ModelError
from model.generation import NOT_FINITE, Sampler, Sampling, check_finite
from model.kv_cache import SlotKVCache, SlotView
from model.transformer import Transformer

PREFILL_CHUNK = 160
"""Prompt tokens per step. Larger chunks gain little throughput and delay other requests' tokens."""
MAX_PREFILL_RUN = 800
"""Prompt tokens prefilled in successive steps before decoding requests get a step."""


@dataclass(frozen=True, slots=True)
class Logprobs:
    """Log-probabilities that a request asks for, of the model's own distribution, before sampling."""

    top: int = 0
    """Number of most likely tokens that are reported besides the chosen one."""
    prompt: bool = False
    """True to report the tokens of the prompt, too."""


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """The log-probability of a token after the tokens before it, and of the most likely tokens there."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class SampledToken:
    """The next token of one request."""

    request_id: int
    token: int
    """-1 after an error."""
    finish_reason: Literal["stop", "length", "error"] | None
    """``stop``: ``token`` is a stop token, not part of the text; ``length``: it is the last allowed one;
    ``error``: this request failed, and ``error`` is the cause."""
    logprobs: TokenLogprobs | None = None
    prompt_logprobs: Sequence[TokenLogprobs] = ()
    """Of all prompt tokens but the first; with the first token."""
    error: Exception | None = None


@dataclass(slots=True)
class _Request:
    id: int
    prompt: Sequence[int]
    max_tokens: int
    sampler: Sampler
    stop_tokens: frozenset[int]
    logprobs: Logprobs | None
    prompt_logprobs: list[TokenLogprobs] = field(default_factory=list)
    prefilled: int = 0
    """Number of prompt tokens in the cache."""
    num_sampled: int = 0
    last_token: int = -1


class Batcher:
    """Generates for up to ``slots`` requests of at most ``capacity`` tokens each, prompt included.

    Decoding requests occupy the first cache slots without gaps, so that attention needs no copy; a partially
    prefilled request occupies the next slot. Other requests in the batch affect a request's tokens only
    through rounding, whatever their parameters. Not thread-safe.
    """

    def __init__(self, model: Transformer, slots: int, capacity: int) -> None:
        weight = model.embedding.weight
        self.capacity = capacity
        self._model = model
        self._slots = slots
        self._cache = SlotKVCache(model.config, slots, capacity, weight.dtype, weight.device)
        self._decoding: list[_Request] = []
        self._waiting: deque[_Request] = deque()
        self._last_id = 0
        self._prefill_run = 0
        """Prompt tokens prefilled since the last decoding step."""

    @property
    def num_running(self) -> int:
        """Number of unfinished requests."""
        return len(self._decoding) + len(self._waiting)

    @property
    def num_free(self) -> int:
        """Number of requests that can be added now."""
        return self._slots - self.num_running

    def add(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        sampling: Sampling,
        stop_tokens: frozenset[int],
        logprobs: Logprobs | None = None,
    ) -> int:
        """Add a request for up to ``max_tokens`` tokens after the non-empty ``prompt``; return its id.

        Raises :class:`ModelError` if it exceeds ``capacity``, no slot is free or the model lacks a token.
        """
        if not prompt or max_tokens < 1 or len(prompt) + max_tokens > self.capacity:
            raise ModelError(
                f"{len(prompt)} prompt tokens and {max_tokens} to generate: each must be at least 1, their "
                f"sum at most {self.capacity}; shorten one of them"
            )
        if not self.num_free:
            raise ModelError(f"all {self._slots} slots are taken; wait for a request to finish")
        self._check_tokens([*prompt, *sampling.logit_bias])
        self._last_id += 1
        request = _Request(self._last_id, prompt, max_tokens, Sampler(sampling), stop_tokens, logprobs)
        self._waiting.append(request)
        return self._last_id

    def _check_tokens(self, tokens: Sequence[int]) -> None:
        size = self._model.config.vocabulary_size
        smallest, largest = min(tokens), max(tokens)
        if smallest < 0 or largest >= size:
            raise ModelError(f"token ids {smallest} to {largest}: must be from 0 to {size - 1}; correct them")

    @torch.inference_mode()  # the cache consists of inference tensors
    def cancel(self, request_id: int) -> None:
        """Remove a request; no effect if it is finished."""
        for slot, request in enumerate(self._decoding):
            if request.id == request_id:
                self._release(slot)
                return
        for index, request in enumerate(self._waiting):
            if request.id == request_id:
                del self._waiting[index]
                if request.prefilled:
                    self._cache.lengths[len(self._decoding)] = 0
                return

    @torch.inference_mode()
    def step(self) -> list[SampledToken]:
        """Run one forward pass: prefill a chunk of waiting prompts, or decode one token per request."""
        if self._waiting and (self._prefill_run < MAX_PREFILL_RUN or not self._decoding):
            results = self._prefill()
        else:
            results = self._decode() if self._decoding else []
        ended = {result.request_id: result.finish_reason for result in results if result.finish_reason}
        for slot in reversed(range(len(self._decoding))):
            if reason := ended.get(self._decoding[slot].id):
                if reason == "error":
                    self._cache.clear(slot)
                self._release(slot)
        return results

    def _decode(self) -> list[SampledToken]:
        """Sample the next token of each decoding request."""
        self._prefill_run = 0
        outputs = self._forward(self._decoding, [[request.last_token] for request in self._decoding], 0)
        return self._sample(self._decoding, outputs)

    def _prefill(self) -> list[SampledToken]:
        """Prefill several short prompts or a chunk of a long one; sample once a prompt is complete."""
        first_slot = len(self._decoding)
        group = self._next_prefill_group()
        chunks = [request.prompt[request.prefilled : request.prefilled + PREFILL_CHUNK] for request in group]
        outputs = self._forward(group, chunks, first_slot)
        for slot, (request, chunk) in enumerate(zip(group, chunks, strict=True), first_slot):
            self._prefill_run += len(chunk)
            request.prefilled += len(chunk)
            self._cache.lengths[slot] = request.prefilled
        is_partial = group[0].prefilled < len(group[0].prompt)
        if is_partial and not isinstance(outputs[0], Exception):
            return []
        for _ in group:
            self._decoding.append(self._waiting.popleft())
        return self._sample(group, outputs)

    def _next_prefill_group(self) -> list[_Request]:
        """Return the first waiting request and those after it that fit into the same chunk.

        Prompts are padded to the longest; the padded total is at most ``PREFILL_CHUNK`` tokens. A partially
        prefilled request is a group of its own.
        """
        group = [self._waiting[0]]
        longest = len(group[0].prompt)
        for request in islice(self._waiting, 1, None):
            longest = max(longest, len(request.prompt))
            if group[0].prefilled or longest * (len(group) + 1) > PREFILL_CHUNK:
                break
            group.append(request)
        return group

    def _forward(
        self, requests: Sequence[_Request], chunks: Sequence[Sequence[int]], first_slot: int
    ) -> list[Tensor | Exception]:
        """Return the hidden state at each row's last token, ``[C]``, or the error of a row that fails alone.

        If the batch fails, each row is computed by itself. A row that is not finite is an error, too.
        """
        lengths = list(self._cache.lengths)
        try:
            rows = self._last_hidden_states(requests, chunks, self._cache.view(first_slot, len(requests)))
        except Exception as error:
            self._cache.lengths = lengths
            if len(requests) == 1:
                return [error]
            singles = zip(requests, chunks, range(first_slot, first_slot + len(requests)), strict=True)
            return [self._forward([request], [chunk], slot)[0] for request, chunk, slot in singles]
        finite = rows.isfinite().all(dim=1).tolist()
        return [row if ok else ModelError(NOT_FINITE) for row, ok in zip(rows, finite, strict=True)]

    def _last_hidden_states(
        self, requests: Sequence[_Request], chunks: Sequence[Sequence[int]], cache: SlotView
    ) -> Tensor:
        """Return the hidden state at each row's last token, ``[B, C]``; score prompts where asked for.

        Shorter rows are padded on the right with their last token. Causal attention hides the padding, unless
        it is not finite: then only if the row is not finite itself.
        """
        longest = max(map(len, chunks))
        device = self._model.embedding.weight.device
        padded = [[*chunk, *[chunk[-1]] * (longest - len(chunk))] for chunk in chunks]
        tokens = torch.tensor(padded, device=device)
        last = torch.tensor([len(chunk) - 1 for chunk in chunks], device=device)
        hidden_states = self._model.hidden_states(tokens, cache=cache)
        for row, request in enumerate(requests):
            if request.logprobs and request.logprobs.prompt and request.prefilled < len(request.prompt):
                self._score_prompt(request, hidden_states[row, : len(chunks[row])], request.logprobs.top)
        return hidden_states[torch.arange(len(chunks), device=device), last]

    def _score_prompt(self, request: _Request, hidden_states: Tensor, top: int) -> None:
        """Record the log-probabilities of the prompt tokens after each token of a chunk."""
        following = request.prompt[request.prefilled + 1 : request.prefilled + 1 + len(hidden_states)]
        if following:
            logprobs = self._model.logits(hidden_states[: len(following)]).float().log_softmax(dim=1)
            request.prompt_logprobs[request.prefilled :] = _token_logprobs(logprobs, following, top)

    def _sample(
        self, requests: Sequence[_Request], outputs: Sequence[Tensor | Exception]
    ) -> list[SampledToken]:
        """Sample a token for each request from its last hidden state."""
        working = [
            (request, output)
            for request, output in zip(requests, outputs, strict=True)
            if isinstance(output, Tensor)
        ]
        results = [
            _failed(request, output)
            for request, output in zip(requests, outputs, strict=True)
            if isinstance(output, Exception)
        ]
        if not working:
            return results
        logits = self._model.logits(torch.stack([output for _, output in working]))
        largest, tokens = (values.tolist() for values in logits.max(dim=1))  # three times as fast as argmax
        for index, (request, _) in enumerate(working):
            try:
                check_finite(largest[index])
                is_argmax = request.sampler.sampling.is_argmax
                token = tokens[index] if is_argmax else request.sampler.sample(logits[index])
                results.append(self._record(request, token, logits[index]))
            except Exception as error:
                results.append(_failed(request, error))
        return results

    @staticmethod
    def _record(request: _Request, token: int, logits: Tensor) -> SampledToken:
        """Return the result of a request's new token."""
        request.last_token = token
        request.num_sampled += 1
        logprobs = None
        if request.logprobs:
            distribution = logits[None].float().log_softmax(dim=1)
            (logprobs,) = _token_logprobs(distribution, [token], request.logprobs.top)
        exhausted = request.num_sampled == request.max_tokens
        reason: Literal["stop", "length"] | None = "length" if exhausted else None
        return SampledToken(
            request.id,
            token,
            "stop" if token in request.stop_tokens else reason,
            logprobs,
            request.prompt_logprobs if request.num_sampled == 1 else (),
        )

    def _release(self, slot: int) -> None:
        """Free the slot of a decoding request and close the gap."""
        last = len(self._decoding) - 1
        request = self._decoding.pop()
        if slot < last:
            self._decoding[slot] = request
        self._cache.move(last, slot)
        if self._waiting and self._waiting[0].prefilled:
            self._cache.move(last + 1, last)


def _failed(request: _Request, error: Exception) -> SampledToken:
    return SampledToken(request.id, -1, "error", error=error)


def _token_logprobs(distributions: Tensor, tokens: Sequence[int], top: int) -> list[TokenLogprobs]:
    """Return the log-probability of each token in its row of ``distributions``, ``[T, vocabulary]``."""
    rows = torch.arange(len(tokens), device=distributions.device)
    chosen = distributions[rows, torch.tensor(tokens, device=distributions.device)].tolist()
    values, indices = (found.tolist() for found in distributions.topk(min(top, distributions.shape[1])))
    return [
        TokenLogprobs(token, logprob, tuple(zip(*likely, strict=True)))
        for token, logprob, likely in zip(tokens, chosen, zip(indices, values, strict=True), strict=True)
    ]

"""Continuous batching (Orca, Yu et al. 2022): generate for many requests in one batch.

The cost of a step is mostly that of reading the weights, for one sequence as for sixteen. Requests join and
leave the batch between steps, so none waits for the longest. Prompts are prefilled in chunks, so that a long
one does not delay the others.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import torch
from torch import Tensor

from core.errors import ModelError
from model.generation import Sampling, sample_token
from model.kv_cache import SlotKVCache, SlotView
from model.transformer import Transformer

PREFILL_CHUNK = 160
"""Prompt tokens per step. Larger chunks gain little throughput and delay other requests' tokens."""
MAX_PREFILL_RUN = 800
"""Prompt tokens prefilled in successive steps before decoding requests get a step."""


@dataclass(frozen=True, slots=True)
class SampledToken:
    """The next token of one request."""

    request_id: int
    token: int
    finish_reason: Literal["stop", "length"] | None
    """``stop``: ``token`` is a stop token, not part of the text; ``length``: it is the last allowed one."""


@dataclass(slots=True)
class _Request:
    id: int
    prompt: Sequence[int]
    max_tokens: int
    sampling: Sampling
    stop_tokens: frozenset[int]
    generator: torch.Generator
    prefilled: int = 0
    """Number of prompt tokens in the cache."""
    num_sampled: int = 0
    last_token: int = -1


class Batcher:
    """Generates for up to ``slots`` requests of at most ``capacity`` tokens each, prompt included.

    Decoding requests occupy the first cache slots without gaps, so that attention needs no copy; a partially
    prefilled request occupies the next slot. Other requests in the batch affect a request's tokens only
    through rounding. Not thread-safe.
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
        self, prompt: Sequence[int], max_tokens: int, sampling: Sampling, stop_tokens: frozenset[int]
    ) -> int:
        """Add a request for up to ``max_tokens`` tokens after the non-empty ``prompt``; return its id.

        Raises :class:`ModelError` if it exceeds ``capacity`` or no slot is free.
        """
        if not prompt or max_tokens < 1 or len(prompt) + max_tokens > self.capacity:
            raise ModelError(
                f"{len(prompt)} prompt tokens and {max_tokens} to generate: each must be at least 1, their "
                f"sum at most {self.capacity}; shorten one of them"
            )
        if not self.num_free:
            raise ModelError(f"all {self._slots} slots are taken; wait for a request to finish")
        self._last_id += 1
        generator = torch.Generator().manual_seed(sampling.seed)
        self._waiting.append(_Request(self._last_id, prompt, max_tokens, sampling, stop_tokens, generator))
        return self._last_id

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
        finished = {result.request_id for result in results if result.finish_reason}
        for slot in reversed(range(len(self._decoding))):
            if self._decoding[slot].id in finished:
                self._release(slot)
        return results

    def _decode(self) -> list[SampledToken]:
        """Sample the next token of each decoding request."""
        self._prefill_run = 0
        inputs = [[request.last_token] for request in self._decoding]
        hidden_states = self._last_hidden_states(inputs, self._cache.view(0, len(inputs)))
        return self._sample(self._decoding, hidden_states)

    def _prefill(self) -> list[SampledToken]:
        """Prefill several short prompts or a chunk of a long one; sample once a prompt is complete."""
        first_slot = len(self._decoding)
        group = self._next_prefill_group()
        chunks = [request.prompt[request.prefilled : request.prefilled + PREFILL_CHUNK] for request in group]
        hidden_states = self._last_hidden_states(chunks, self._cache.view(first_slot, len(group)))
        for slot, (request, chunk) in enumerate(zip(group, chunks, strict=True), first_slot):
            self._prefill_run += len(chunk)
            request.prefilled += len(chunk)
            self._cache.lengths[slot] = request.prefilled
        if group[0].prefilled < len(group[0].prompt):
            return []
        for _ in group:
            self._decoding.append(self._waiting.popleft())
        return self._sample(group, hidden_states)

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

    def _last_hidden_states(self, rows: Sequence[Sequence[int]], cache: SlotView) -> Tensor:
        """Return the hidden state at each row's last token, ``[B, C]``.

        Shorter rows are padded on the right, where causal attention hides the padding.
        """
        longest = max(map(len, rows))
        device = self._model.embedding.weight.device
        tokens = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=device)
        last = torch.tensor([len(row) - 1 for row in rows], device=device)
        hidden_states = self._model.hidden_states(tokens, cache=cache)
        return hidden_states[torch.arange(len(rows), device=device), last]

    def _sample(self, requests: Sequence[_Request], hidden_states: Tensor) -> list[SampledToken]:
        """Sample a token for each request from its last hidden state."""
        logits = self._model.logits(hidden_states)
        greedy = logits.max(dim=1).indices.tolist()  # equals argmax, three times as fast
        tokens = [
            sample_token(row, request.sampling, request.generator) if request.sampling.temperature else token
            for request, row, token in zip(requests, logits, greedy, strict=True)
        ]
        return [self._record(request, token) for request, token in zip(requests, tokens, strict=True)]

    @staticmethod
    def _record(request: _Request, token: int) -> SampledToken:
        request.last_token = token
        request.num_sampled += 1
        if token in request.stop_tokens:
            return SampledToken(request.id, token, "stop")
        exhausted = request.num_sampled == request.max_tokens
        return SampledToken(request.id, token, "length" if exhausted else None)

    def _release(self, slot: int) -> None:
        """Free the slot of a decoding request and close the gap."""
        last = len(self._decoding) - 1
        request = self._decoding.pop()
        if slot < last:
            self._decoding[slot] = request
        self._cache.move(last, slot)
        if self._waiting and self._waiting[0].prefilled:
            self._cache.move(last + 1, last)
